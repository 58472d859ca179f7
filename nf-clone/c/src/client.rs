//! The client's half of the interface.

use std::ffi::c_char;
use std::time::Duration;

use nf_clone::client::{BeginError, Config};
use nf_clone::reassembly::Limits;
use nf_clone::udp::{self, CallError, Sources};

use crate::{Code, Failure, bytes, guard, text};

/// A client of one service. For one thread at a time.
pub struct Client {
    client: udp::Client,
    /// What the caller looks at until its next call.
    payload: Vec<u8>,
}

/// Settings of a client. Start from `sluice_clone_client_config`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ClientConfig {
    /// How long the first answer is waited for, in nanoseconds; not 0.
    pub timeout_ns: u64,
    /// How long the packets of a longer answer are waited for, in nanoseconds.
    pub reassembly_timeout_ns: u64,
    /// Longer answers that are put together at a time.
    pub reassembly_messages: u32,
    /// Most bytes of an answer.
    pub answer_bytes: u32,
    /// Payload bytes in a packet, at least 1.
    pub packet_payload: u32,
    /// Names this client; not 0. Has to differ from every other client's, and from that of the same
    /// program before it was started again.
    pub client_id: u32,
    /// The first sequence number.
    pub first_seq: u32,
    /// Groups of the appliance: n(n-1) with n servers; 1 without an appliance.
    pub groups: u32,
    /// How often a request is sent again before it is given up, at most 32.
    pub retries: u32,
    /// Each wait is this many times the one before, at least 1.
    pub backoff: u32,
    /// Generation of the group table that `groups` is from, 0 when not known.
    pub cfg_gen: u16,
    /// Filter tables of the appliance, 1 to 16.
    pub tables: u8,
    /// The last 2^n requests are remembered, 1 to 24. At most as many can be in flight.
    pub window_log2: u8,
    /// Requests carry an id that the client chooses.
    pub client_ids: bool,
    /// Forbids cloning.
    pub no_clone: bool,
    /// Answers are taken from any address, not only the service's: for an appliance in `inline` mode.
    pub any_source: bool,
}

/// How a request is sent. All zero is a read. Writes go to a server's address, by a client made for it:
/// the appliance takes none for the service.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The caller's own mark.
    pub token: u64,
    /// A write: never cloned, never sent again unless `idempotent`.
    pub write: bool,
    /// Running it twice does no harm, though it is a write.
    pub idempotent: bool,
    /// Forbids cloning of this one.
    pub no_clone: bool,
}

/// The answer to a request.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The payload. Valid until the next call with this client.
    pub payload: *const u8,
    /// Its bytes.
    pub len: usize,
    /// Nanoseconds since the request was first sent.
    pub took_ns: u64,
    /// How often the request was sent.
    pub attempts: u32,
    /// The server that answered; 65535 when none is named.
    pub sid: u16,
    /// Requests that were waiting there.
    pub load: u16,
    /// 0 when the request was not cloned, 1 when the original's answer was first, 2 when the clone's.
    pub clo: u8,
}

/// A request that has come to its end.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    /// The caller's mark.
    pub token: u64,
    /// The number that `sluice_clone_client_send` gave.
    pub seq: u32,
    /// That it was answered, or why not.
    pub code: Code,
    /// The answer, if there is one.
    pub answer: Answer,
}

/// What a client has counted.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientCounters {
    /// Requests begun, without retransmissions.
    pub requests: u64,
    /// Retransmissions.
    pub retransmissions: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests given up.
    pub given_up: u64,
    /// Packets of answers to what had been answered.
    pub redundant: u64,
    /// Packets of answers to what had been given up.
    pub late: u64,
    /// Answers to others, or to requests older than the window.
    pub unknown: u64,
    /// Requests refused by the appliance.
    pub refused: u64,
    /// Configurations of the appliance that were taken over.
    pub configured: u64,
    /// Datagrams that were no messages for a client.
    pub malformed: u64,
}

const NO_ANSWER: Answer = Answer {
    payload: std::ptr::null(),
    len: 0,
    took_ns: 0,
    attempts: 0,
    sid: 0,
    load: 0,
    clo: 0,
};

fn ns(time: Duration) -> u64 {
    time.as_nanos().min(u64::MAX.into()) as u64
}

fn failure(error: CallError) -> Failure {
    let code = match &error {
        CallError::NoAnswer { .. } => Code::NoAnswer,
        CallError::NoServer { .. } => Code::NoServer,
        CallError::WriteToService => Code::WriteToService,
        CallError::Begin(BeginError::WindowFull) => Code::WindowFull,
        CallError::Begin(BeginError::TooLong(_)) => Code::TooLong,
        CallError::Io(_) => Code::Io,
    };
    Failure::new(code, error)
}

impl Client {
    fn keep(&mut self, answer: udp::Answer) -> Answer {
        self.payload = answer.payload;
        Answer {
            payload: self.payload.as_ptr(),
            len: self.payload.len(),
            took_ns: ns(answer.took),
            attempts: answer.attempts,
            sid: answer.sid,
            load: answer.load,
            clo: answer.clo,
        }
    }
}

/// The settings to start from, for an appliance with that many groups: a fresh client_id, 3 retries after
/// 100 ms, 200 ms, ...
#[unsafe(no_mangle)]
pub extern "C" fn sluice_clone_client_config(groups: u32) -> ClientConfig {
    let config = Config::new(groups);
    ClientConfig {
        timeout_ns: ns(config.timeout),
        reassembly_timeout_ns: ns(config.reassembly.timeout),
        reassembly_messages: config.reassembly.messages as u32,
        answer_bytes: config.reassembly.message_bytes as u32,
        packet_payload: config.packet_payload as u32,
        client_id: config.client_id,
        first_seq: config.first_seq,
        groups: config.groups,
        retries: config.retries,
        backoff: config.backoff,
        cfg_gen: config.cfg_gen,
        tables: config.tables,
        window_log2: config.window_log2,
        client_ids: config.client_ids,
        no_clone: config.no_clone,
        any_source: false,
    }
}

/// Makes a client of the service at an address and port, as `10.0.0.100:9043` or `[fd00::1]:9043`: the
/// appliance's, or a server's.
///
/// # Safety
/// `service` is NULL or a string; `config` and `client` are NULL or point at such values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_client_new(
    service: *const c_char,
    config: *const ClientConfig,
    client: *mut *mut Client,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a string, by the caller's promise.
        let service = unsafe { text(service, "service") }?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let given = *unsafe { config.as_ref() }.ok_or_else(|| Failure::null("config"))?;
        // SAFETY: as above, and nobody else uses it during the call.
        let client = unsafe { client.as_mut() }.ok_or_else(|| Failure::null("client"))?;
        let config = Config {
            client_id: given.client_id,
            first_seq: given.first_seq,
            groups: given.groups,
            tables: given.tables,
            cfg_gen: given.cfg_gen,
            timeout: Duration::from_nanos(given.timeout_ns),
            retries: given.retries,
            backoff: given.backoff,
            window_log2: given.window_log2,
            client_ids: given.client_ids,
            no_clone: given.no_clone,
            packet_payload: given.packet_payload as usize,
            reassembly: Limits {
                messages: given.reassembly_messages as usize,
                message_bytes: given.answer_bytes as usize,
                timeout: Duration::from_nanos(given.reassembly_timeout_ns),
            },
        };
        let sources = if given.any_source {
            Sources::Any
        } else {
            Sources::Service
        };
        let made = Client {
            client: udp::Client::new(service, config, sources)?,
            payload: Vec::new(),
        };
        *client = Box::into_raw(Box::new(made));
        Ok(Code::Ok)
    })
}

/// Frees a client. Its requests in flight are forgotten.
///
/// # Safety
/// `client` is NULL or from `sluice_clone_client_new`, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_client_free(client: *mut Client) {
    guard(|| {
        if !client.is_null() {
            // SAFETY: made by `Box::into_raw`, and freed once, by the caller's promise.
            drop(unsafe { Box::from_raw(client) });
        }
        Ok(Code::Ok)
    });
}

/// What `options` says; NULL is a read.
///
/// # Safety
/// NULL or a live value.
unsafe fn chosen(options: *const Options) -> udp::Options {
    // SAFETY: NULL or a live value, by the caller's promise.
    let options = unsafe { options.as_ref() }.copied().unwrap_or_default();
    udp::Options {
        write: options.write,
        idempotent: options.idempotent,
        no_clone: options.no_clone,
        token: options.token,
    }
}

/// Sends a request and waits for its answer, at most the timeouts of all its attempts. `options` may be
/// NULL: a read.
///
/// # Safety
/// The pointers are NULL or point at such values, `payload` at `len` bytes; no other thread uses the
/// client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_client_call(
    client: *mut Client,
    payload: *const u8,
    len: usize,
    options: *const Options,
    answer: *mut Answer,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a live client that nobody else uses, by the caller's promise.
        let client = unsafe { client.as_mut() }.ok_or_else(|| Failure::null("client"))?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let answer = unsafe { answer.as_mut() }.ok_or_else(|| Failure::null("answer"))?;
        *answer = NO_ANSWER;
        // SAFETY: NULL or so many bytes, by the caller's promise.
        let payload = unsafe { bytes(payload, len) }?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let options = unsafe { chosen(options) };
        let got = client.client.call_with(payload, options);
        *answer = client.keep(got.map_err(failure)?);
        Ok(Code::Ok)
    })
}

/// Sends a request without waiting. Its end is told by `sluice_clone_client_wait`, which has to be called
/// for retransmissions to happen. `options` and `seq` may be NULL.
///
/// # Safety
/// As of `sluice_clone_client_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_client_send(
    client: *mut Client,
    payload: *const u8,
    len: usize,
    options: *const Options,
    seq: *mut u32,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a live client that nobody else uses, by the caller's promise.
        let client = unsafe { client.as_mut() }.ok_or_else(|| Failure::null("client"))?;
        // SAFETY: NULL or so many bytes, by the caller's promise.
        let payload = unsafe { bytes(payload, len) }?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let options = unsafe { chosen(options) };
        let sent = client.client.send(payload, options).map_err(failure)?;
        // SAFETY: NULL or a live value, by the caller's promise.
        if let Some(seq) = unsafe { seq.as_mut() } {
            *seq = sent;
        }
        Ok(Code::Ok)
    })
}

/// Waits until a request has come to its end, at most `limit_ns` nanoseconds. The code says "nothing" when
/// none has, and at once when none is in flight; how the request ended is in `completion`.
///
/// # Safety
/// As of `sluice_clone_client_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_client_wait(
    client: *mut Client,
    limit_ns: u64,
    completion: *mut Completion,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a live client that nobody else uses, by the caller's promise.
        let client = unsafe { client.as_mut() }.ok_or_else(|| Failure::null("client"))?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let completion =
            unsafe { completion.as_mut() }.ok_or_else(|| Failure::null("completion"))?;
        let Some(ended) = client.client.wait(Duration::from_nanos(limit_ns))? else {
            return Ok(Code::Nothing);
        };
        let (code, answer) = match ended.result {
            Ok(answer) => (Code::Ok, client.keep(answer)),
            Err(error) => (failure(error).tell(), NO_ANSWER),
        };
        *completion = Completion {
            token: ended.token,
            seq: ended.seq,
            code,
            answer,
        };
        Ok(Code::Ok)
    })
}

/// Requests sent whose end has not been told.
///
/// # Safety
/// `client` is NULL (0 then) or a live client that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_client_in_flight(client: *const Client) -> usize {
    // SAFETY: NULL or a live client, by the caller's promise.
    unsafe { client.as_ref() }.map_or(0, |client| client.client.in_flight())
}

/// What the client has counted.
///
/// # Safety
/// As of `sluice_clone_client_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_clone_client_counters(
    client: *const Client,
    counters: *mut ClientCounters,
) -> Code {
    guard(|| {
        // SAFETY: NULL or a live client, by the caller's promise.
        let client = unsafe { client.as_ref() }.ok_or_else(|| Failure::null("client"))?;
        // SAFETY: NULL or a live value, by the caller's promise.
        let counters = unsafe { counters.as_mut() }.ok_or_else(|| Failure::null("counters"))?;
        let counted = client.client.counters();
        *counters = ClientCounters {
            requests: counted.requests,
            retransmissions: counted.retransmissions,
            answered: counted.answered,
            given_up: counted.given_up,
            redundant: counted.redundant,
            late: counted.late,
            unknown: counted.unknown,
            refused: counted.refused,
            configured: counted.configured,
            malformed: counted.malformed,
        };
        Ok(Code::Ok)
    })
}
