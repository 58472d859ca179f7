//! The server's half of the interface.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use nf_clone::reassembly::Limits;
use nf_clone::server::Config;
use nf_clone::udp::{self, Settings};

use crate::{Code, Failure, bytes, guard, text};

/// A running server. May be used from any thread.
pub struct Server {
    server: udp::Server,
}

/// Where a handler writes its answer. Valid during the handler's call.
pub struct Reply {
    bytes: Vec<u8>,
}

/// A request as the handler sees it. Valid during the handler's call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The payload.
    pub payload: *const u8,
    /// Its bytes.
    pub len: usize,
    /// Names the client, as it says.
    pub client_id: u32,
    /// The client's own count.
    pub client_seq: u32,
    /// 0 when the request was not cloned, 1 for the original, 2 for the clone.
    pub clo: u8,
    /// Whether the client says that it writes. Anything else may run twice, here and elsewhere.
    pub is_write: bool,
}

/// Answers one request. Runs on all workers at a time, so `context` has to allow that. Must return: no
/// `longjmp`, no exception.
pub type Handler =
    Option<unsafe extern "C" fn(context: *mut c_void, call: *const Call, reply: *mut Reply)>;

/// Settings of a server. Start from `sluice_clone_server_config`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ServerConfig {
    /// How long the packets of a longer request are waited for, in nanoseconds.
    pub reassembly_timeout_ns: u64,
    /// Longer requests that are put together at a time.
    pub reassembly_messages: u32,
    /// Most bytes of a request.
    pub request_bytes: u32,
    /// Payload bytes in a packet of an answer, at least 1.
    pub packet_payload: u32,
    /// Threads that run the handler, at least 1.
    pub workers: u32,
    /// Most requests that wait for a worker.
    pub queue: u32,
    /// The server's number, as the appliance knows it; below 65535.
    pub sid: u16,
    /// Whether clones that find others waiting are dropped, as they should be.
    pub drop_clones: bool,
    /// Packet i of an answer names filter table i; needs `deterministic`.
    pub ordered: bool,
    /// Every replica's answers have the same bytes.
    pub deterministic: bool,
}

/// What a server has counted.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerCounters {
    /// Reads taken, clones included.
    pub reads: u64,
    /// Of these: clones.
    pub clones: u64,
    /// Writes taken.
    pub writes: u64,
    /// Clones dropped because others were waiting.
    pub clones_dropped: u64,
    /// Pings answered.
    pub pings: u64,
    /// Packets that came a second time.
    pub repeated: u64,
    /// Requests of which not all packets came in time.
    pub incomplete: u64,
    /// Datagrams that were no messages for a server.
    pub malformed: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests dropped because the line was full.
    pub overflowed: u64,
    /// Answers that could not be sent.
    pub unsent: u64,
}

/// The handler and its context, on their way to the workers.
struct Registered {
    handler: unsafe extern "C" fn(*mut c_void, *const Call, *mut Reply),
    context: *mut c_void,
}

// SAFETY: who starts a server promises that the handler may run on any thread with this context.
unsafe impl Send for Registered {}
// SAFETY: as above: on several at a time.
unsafe impl Sync for Registered {}

impl Registered {
    fn run(&self, call: udp::Call<'_>, answer: &mut Vec<u8>) {
        let header = &call.request.header;
        let given = Call {
            payload: call.payload.as_ptr(),
            len: call.payload.len(),
            client_id: header.client_id,
            client_seq: header.client_seq,
            clo: header.clo,
            is_write: call.is_write,
        };
        let mut reply = Reply {
            bytes: std::mem::take(answer),
        };
        // SAFETY: both pointers are to values that live during the call; the rest is the promise of who
        // started the server.
        unsafe { (self.handler)(self.context, &raw const given, &raw mut reply) };
        *answer = reply.bytes;
    }
}

/// The settings to start from: that number, 15 workers.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_clone_server_config(sid: u16) -> ServerConfig {
    let settings = Settings::new(sid, 15);
    let server = settings.server;
    ServerConfig {
        reassembly_timeout_ns: server.reassembly.timeout.as_nanos() as u64,
        reassembly_messages: server.reassembly.messages as u32,
        request_bytes: server.reassembly.message_bytes as u32,
        packet_payload: server.packet_payload as u32,
        workers: settings.workers as u32,
        queue: settings.queue as u32,
        sid,
        drop_clones: server.drop_clones,
        ordered: server.ordered,
        deterministic: server.deterministic,
    }
}

/// Starts a server at an address and port, as `10.0.1.101:9043`; port 0 takes any. Bind to one address,
/// not to all: the appliance knows servers by their addresses.
///
/// # Safety
/// `address` is NULL or a string; `config` and `server` are NULL or point at such values; `handler` may be
/// called with `context` from any thread, several at a time, until the server is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_server_start(
    address: *const c_char,
    config: *const ServerConfig,
    handler: Handler,
    context: *mut c_void,
    server: *mut *mut Server,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a string, by the caller's promise.
        let address = unsafe { text(address, "address") }?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let given = *unsafe { config.as_ref() }.ok_or_else(|| Failure::null("config"))?;
        let handler = handler.ok_or_else(|| Failure::null("handler"))?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let server = unsafe { server.as_mut() }.ok_or_else(|| Failure::null("server"))?;
        let settings = Settings {
            server: Config {
                sid: given.sid,
                drop_clones: given.drop_clones,
                packet_payload: given.packet_payload as usize,
                ordered: given.ordered,
                deterministic: given.deterministic,
                reassembly: Limits {
                    messages: given.reassembly_messages as usize,
                    message_bytes: given.request_bytes as usize,
                    timeout: Duration::from_nanos(given.reassembly_timeout_ns),
                },
            },
            workers: given.workers as usize,
            queue: given.queue as usize,
        };
        let registered = Registered { handler, context };
        let started = udp::Server::start(address, settings, move |call, answer| {
            registered.run(call, answer);
        })?;
        *server = Box::into_raw(Box::new(Server { server: started }));
        Ok(Code::Ok)
    })
}

/// Stops a server and waits for its handlers to return. Requests that wait are not answered.
///
/// # Safety
/// `server` is NULL or from `sluice_clone_server_start`, and is not used afterwards. Not to be called from
/// a handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_server_free(server: *mut Server) {
    guard(|| {
        if !server.is_null() {
            // SAFETY: made by `Box::into_raw`, and freed once, by the caller's promise.
            drop(unsafe { Box::from_raw(server) });
        }
        Ok(Code::Ok)
    });
}

/// Appends bytes to an answer.
///
/// # Safety
/// `reply` is NULL or what the handler was handed, during its call; `payload` is NULL or points at `len`
/// bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_reply_append(
    reply: *mut Reply,
    payload: *const u8,
    len: usize,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a live value of this handler alone, by the caller's promise.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| Failure::null("reply"))?;
        // SAFETY: NULL or so many bytes, by the caller's promise.
        reply
            .bytes
            .extend_from_slice(unsafe { bytes(payload, len) }?);
        Ok(Code::Ok)
    })
}

/// Writes where the server listens, as `127.0.0.1:9043`, with a zero byte at the end. Invalid when
/// `size` bytes have no room for it; 64 always have.
///
/// # Safety
/// `server` is NULL or a live server; `out` is NULL or has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_server_address(
    server: *const Server,
    out: *mut c_char,
    size: usize,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a live server, by the caller's promise.
        let server = unsafe { server.as_ref() }.ok_or_else(|| Failure::null("server"))?;
        if out.is_null() {
            return Err(Failure::null("out"));
        }
        let text = server.server.address().to_string();
        if text.len() >= size {
            let why = format!("{} bytes are needed, {size} are there", text.len() + 1);
            return Err(Failure::new(Code::Invalid, why));
        }
        // SAFETY: there is room for the text and a zero byte, as just checked.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), text.len());
            out.add(text.len()).write(0);
        }
        Ok(Code::Ok)
    })
}

/// The UDP port at which the server listens.
///
/// # Safety
/// `server` is NULL (0 then) or a live server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_server_port(server: *const Server) -> u16 {
    // SAFETY: NULL or a live server, by the caller's promise.
    unsafe { server.as_ref() }.map_or(0, |server| server.server.address().port())
}

/// Says whether the server wants no further requests. What comes is served nevertheless.
///
/// # Safety
/// `server` is NULL (nothing is done then) or a live server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_server_set_draining(server: *const Server, draining: bool) {
    // SAFETY: NULL or a live server, by the caller's promise.
    if let Some(server) = unsafe { server.as_ref() } {
        server.server.set_draining(draining);
    }
}

/// Requests that wait for a worker.
///
/// # Safety
/// `server` is NULL (0 then) or a live server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_server_waiting(server: *const Server) -> usize {
    // SAFETY: NULL or a live server, by the caller's promise.
    unsafe { server.as_ref() }.map_or(0, |server| server.server.waiting())
}

/// What the server has counted.
///
/// # Safety
/// `server` is NULL or a live server, `counters` NULL or a live value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_server_counters(
    server: *const Server,
    counters: *mut ServerCounters,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a live server, by the caller's promise.
        let server = unsafe { server.as_ref() }.ok_or_else(|| Failure::null("server"))?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let counters = unsafe { counters.as_mut() }.ok_or_else(|| Failure::null("counters"))?;
        let totals = server.server.totals();
        *counters = ServerCounters {
            reads: totals.received.reads,
            clones: totals.received.clones,
            writes: totals.received.writes,
            clones_dropped: totals.received.clones_dropped,
            pings: totals.received.pings,
            repeated: totals.received.repeated,
            incomplete: totals.received.incomplete,
            malformed: totals.received.malformed,
            answered: totals.answered,
            overflowed: totals.overflowed,
            unsent: totals.unsent,
        };
        Ok(Code::Ok)
    })
}
