//! Errors of DPDK calls: the call, its errno and DPDK's words for it.

use std::ffi::CStr;
use std::fmt;

/// A DPDK call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DpdkError {
    /// The function that failed.
    pub call: &'static str,
    /// Positive errno, 0 when DPDK gave none.
    pub errno: i32,
}

impl DpdkError {
    /// From a call that returns a negative errno.
    pub(crate) fn from_return(call: &'static str, code: i32) -> DpdkError {
        DpdkError {
            call,
            errno: code.wrapping_neg(),
        }
    }

    /// From a call that leaves the reason in `rte_errno`.
    pub(crate) fn from_rte_errno(call: &'static str) -> DpdkError {
        // SAFETY: reads a thread-local.
        let errno = unsafe { dpdk_sys::sluice_errno() };
        DpdkError { call, errno }
    }

    /// `Ok` for zero and positive codes.
    pub(crate) fn check(call: &'static str, code: i32) -> Result<i32, DpdkError> {
        if code < 0 {
            Err(DpdkError::from_return(call, code))
        } else {
            Ok(code)
        }
    }
}

impl fmt::Display for DpdkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.errno == 0 {
            return write!(f, "{} failed", self.call);
        }
        // SAFETY: rte_strerror returns a string with static or thread-local storage, never null.
        let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(self.errno)) };
        write!(
            f,
            "{} failed: {} (errno {})",
            self.call,
            text.to_string_lossy(),
            self.errno
        )
    }
}

impl std::error::Error for DpdkError {}
