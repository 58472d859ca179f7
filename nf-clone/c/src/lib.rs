//! C interface of the client and server libraries of NetClone.
//!
//! `sluice_clone.h` is generated from these files. Conventions: functions return a [`Code`]; after one
//! that is below 0, [`sluice_clone_message`] says in words what was wrong. Handles are opaque and freed by
//! their `_free` function, which takes NULL as well. No panic leaves the library.

mod client;
mod server;

pub use client::{
    Answer, Client, ClientConfig, ClientCounters, Completion, Options, sluice_clone_client_call,
    sluice_clone_client_config, sluice_clone_client_counters, sluice_clone_client_free,
    sluice_clone_client_in_flight, sluice_clone_client_new, sluice_clone_client_send,
    sluice_clone_client_wait,
};
pub use server::{
    Call, Handler, Reply, Server, ServerConfig, ServerCounters, sluice_clone_reply_append,
    sluice_clone_server_address, sluice_clone_server_config, sluice_clone_server_counters,
    sluice_clone_server_free, sluice_clone_server_port, sluice_clone_server_set_draining,
    sluice_clone_server_start, sluice_clone_server_waiting,
};

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What became of a call.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// Nothing has come to its end in that time. Not an error.
    Nothing = 1,
    /// No answer came to any attempt.
    NoAnswer = -1,
    /// The appliance says that no server is live.
    NoServer = -2,
    /// Too many requests are in flight.
    WindowFull = -3,
    /// The payload needs more than 255 packets.
    TooLong = -4,
    /// The socket failed.
    Io = -5,
    /// An argument cannot be: NULL, not an address, a setting out of its range.
    Invalid = -6,
    /// A mistake in the library.
    Internal = -7,
    /// A write went to the service's address: writes go to the server that replication wants.
    WriteToService = -8,
}

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// What was wrong in the last call of this thread that returned a code below 0, in English; empty before
/// any. Valid until the thread's next call of this library.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_clone_message() -> *const c_char {
    MESSAGE
        .try_with(|message| message.borrow().as_ptr())
        .unwrap_or(c"".as_ptr())
}

/// The version of the library, as `0.1.0`. Structures may differ between versions: use the header that
/// came with the library.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_clone_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// A failure: its code, and what `sluice_clone_message` says.
pub(crate) struct Failure(Code, String);

impl Failure {
    pub(crate) fn new(code: Code, why: impl Display) -> Failure {
        Failure(code, why.to_string())
    }

    pub(crate) fn null(what: &str) -> Failure {
        Failure(Code::Invalid, format!("{what} is NULL"))
    }

    /// Its code; its words become the thread's message.
    pub(crate) fn tell(self) -> Code {
        let text = CString::new(self.1.replace('\0', " ")).unwrap_or_default();
        let _ = MESSAGE.try_with(|message| *message.borrow_mut() = text);
        self.0
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        let code = match error.kind() {
            std::io::ErrorKind::InvalidInput => Code::Invalid,
            _ => Code::Io,
        };
        Failure::new(code, error)
    }
}

/// Runs the body of an exported function. A panic ends here.
pub(crate) fn guard(body: impl FnOnce() -> Result<Code, Failure>) -> Code {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => failure.tell(),
        Err(_) => Failure::new(Code::Internal, "a mistake in the library").tell(),
    }
}

/// A string from C.
///
/// # Safety
/// `text` is NULL or ends with a zero byte, and stays as it is for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: not NULL; the rest is the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|_| Failure::new(Code::Invalid, format!("{what} is not UTF-8")))
}

/// Bytes from C.
///
/// # Safety
/// `bytes` is NULL or points at `len` bytes that stay as they are for `'a`.
pub(crate) unsafe fn bytes<'a>(bytes: *const u8, len: usize) -> Result<&'a [u8], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() {
        return Err(Failure::null("payload"));
    }
    if len > isize::MAX as usize {
        return Err(Failure::new(Code::Invalid, "len is not a length"));
    }
    // SAFETY: not NULL, a possible length; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(bytes, len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> String {
        // SAFETY: the message ends with a zero byte, and no call comes between.
        let text = unsafe { CStr::from_ptr(sluice_clone_message()) };
        text.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_becomes_a_code() {
        let code = guard(|| panic!("on purpose"));
        assert_eq!(code, Code::Internal);
        assert_eq!(message(), "a mistake in the library");
    }

    #[test]
    fn null_pointers_are_refused() {
        use std::ptr::{null, null_mut};
        // SAFETY: NULL is allowed everywhere.
        unsafe {
            let config = sluice_clone_client_config(6);
            let code = sluice_clone_client_new(null(), &config, &mut null_mut());
            assert_eq!((code, &*message()), (Code::Invalid, "service is NULL"));
            let code = sluice_clone_client_new(c"127.0.0.1:1".as_ptr(), null(), &mut null_mut());
            assert_eq!((code, &*message()), (Code::Invalid, "config is NULL"));
            let code = sluice_clone_client_new(c"127.0.0.1:1".as_ptr(), &config, null_mut());
            assert_eq!((code, &*message()), (Code::Invalid, "client is NULL"));
            let answer = null_mut();
            let code = sluice_clone_client_call(null_mut(), null(), 0, null(), answer);
            assert_eq!((code, &*message()), (Code::Invalid, "client is NULL"));
            let code = sluice_clone_client_send(null_mut(), null(), 0, null(), null_mut());
            assert_eq!(code, Code::Invalid);
            assert_eq!(
                sluice_clone_client_wait(null_mut(), 0, null_mut()),
                Code::Invalid
            );
            assert_eq!(
                sluice_clone_client_counters(null(), null_mut()),
                Code::Invalid
            );
            assert_eq!(sluice_clone_client_in_flight(null()), 0);
            sluice_clone_client_free(null_mut());
            let settings = sluice_clone_server_config(1);
            let address = c"127.0.0.1:0".as_ptr();
            let code =
                sluice_clone_server_start(address, &settings, None, null_mut(), &mut null_mut());
            assert_eq!((code, &*message()), (Code::Invalid, "handler is NULL"));
            assert_eq!(
                sluice_clone_server_counters(null(), null_mut()),
                Code::Invalid
            );
            assert_eq!(
                sluice_clone_server_address(null(), null_mut(), 0),
                Code::Invalid
            );
            assert_eq!(
                (
                    sluice_clone_server_port(null()),
                    sluice_clone_server_waiting(null())
                ),
                (0, 0)
            );
            sluice_clone_server_set_draining(null(), true);
            sluice_clone_server_free(null_mut());
            assert_eq!(
                sluice_clone_reply_append(null_mut(), null(), 0),
                Code::Invalid
            );
        }
    }

    #[test]
    fn settings_that_cannot_be_are_told_in_words() {
        let mut config = sluice_clone_client_config(0);
        let mut client = std::ptr::null_mut();
        // SAFETY: all pointers are to live values.
        let code =
            unsafe { sluice_clone_client_new(c"127.0.0.1:9".as_ptr(), &config, &mut client) };
        assert_eq!(
            (code, &*message()),
            (Code::Invalid, "groups must be at least 1")
        );
        config.groups = 6;
        // SAFETY: as above.
        let code = unsafe { sluice_clone_client_new(c"nowhere".as_ptr(), &config, &mut client) };
        assert_eq!(code, Code::Invalid, "{}", message());
        assert!(client.is_null());
    }
}
