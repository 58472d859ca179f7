//! A small HTTP/1.1 client: one request a connection, over a Unix socket or TCP.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;

/// How long to wait for an answer to a question.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long to wait for a change, which may have to read a large configuration.
const LONG_PATIENCE: Duration = Duration::from_secs(120);

/// Longest answer that is taken.
const MAX_ANSWER: u64 = 256 << 20;

/// Where an appliance answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At its control socket.
    Socket(PathBuf),
    /// At `host:port`, for readers.
    Tcp(String),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Socket(path) => write!(f, "{}", path.display()),
            Endpoint::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Endpoint {
    /// Reads a path as JSON.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.request("GET", path, None, PATIENCE)?;
        match answer.status {
            // An appliance with problems answers /healthz with 503, and with what they are.
            200 => answer.json(),
            503 if path == "/healthz" => answer.json(),
            _ => Err(refusal(&answer)),
        }
    }

    /// Asks for a change.
    pub fn change(&self, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
        let answer = self.request(method, path, Some(body), LONG_PATIENCE)?;
        match answer.status {
            200 => answer.json(),
            _ => Err(refusal(&answer)),
        }
    }

    /// Sends one request and reads the whole answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let mut stream = self
            .connect(patience)
            .map_err(|error| self.unreachable(&error))?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::nobody(format!(
                "{self} does not answer within {} s",
                patience.as_secs()
            )),
            _ => Failure::nobody(format!("{self} broke off: {error}")),
        };
        let body = body.unwrap_or_default();
        let host = match self {
            Endpoint::Socket(_) => "sluice",
            Endpoint::Tcp(address) => address,
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // A server may refuse a body before it has read all of it: its answer says why.
        let sent = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()));
        let mut bytes = Vec::new();
        let read = stream.take(MAX_ANSWER).read_to_end(&mut bytes);
        if let Some(answer) = parse(&bytes) {
            return Ok(answer);
        }
        sent.map_err(failed)?;
        read.map_err(failed)?;
        Err(Failure::nobody(format!(
            "{self} does not answer as an appliance does"
        )))
    }

    fn connect(&self, patience: Duration) -> io::Result<Box<dyn Stream>> {
        match self {
            Endpoint::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Ok(Box::new(stream))
            }
            Endpoint::Tcp(address) => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
                        Ok(stream) => {
                            stream.set_read_timeout(Some(patience))?;
                            stream.set_write_timeout(Some(patience))?;
                            return Ok(Box::new(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        Failure::nobody(match (self, error.kind()) {
            (Endpoint::Socket(path), io::ErrorKind::NotFound) => {
                format!("no appliance here: {} does not exist", path.display())
            }
            (Endpoint::Socket(path), io::ErrorKind::ConnectionRefused) => {
                format!("no appliance here: nobody listens on {}", path.display())
            }
            (Endpoint::Socket(path), io::ErrorKind::PermissionDenied) => format!(
                "{} may not be used by you: see its owner and group with `ls -l`",
                path.display()
            ),
            _ => format!("{self} cannot be reached: {error}"),
        })
    }
}

/// What a refusal says, with its list of problems.
fn refusal(answer: &Answer) -> Failure {
    let Ok(body) = answer.json() else {
        return Failure::new(format!(
            "the appliance answers with status {}",
            answer.status
        ));
    };
    let error = body["error"].as_str().unwrap_or("refused");
    let mut message = error.to_owned();
    for problem in body["problems"].as_array().into_iter().flatten() {
        message.push_str("\n\n");
        message.push_str(&crate::check::problem_text(problem));
    }
    Failure::new(message)
}

/// Takes an answer apart; `None` when it is not (yet) one.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let rest = bytes.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?;
    let status = status_line
        .strip_prefix("HTTP/1.")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    let header = |name: &str| {
        head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let body = if header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked"))
    {
        unchunk(rest)?
    } else if let Some(length) = header("content-length") {
        rest.get(..length.parse().ok()?)?.to_vec()
    } else {
        rest.to_vec()
    };
    Some(Answer { status, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?)
            .ok()?
            .split(';')
            .next()?
            .trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size.checked_add(2)?..)?;
    }
}

/// A path segment: what is not plain is percent-encoded.
pub fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_answers_apart() {
        let answer = |text: &str| parse(text.as_bytes());
        let whole = |status, body: &str| {
            Some(Answer {
                status,
                body: body.into(),
            })
        };
        assert_eq!(
            answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}extra"),
            whole(200, "{}")
        );
        assert_eq!(answer("HTTP/1.0 404 No\r\n\r\nall"), whole(404, "all"));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n";
        assert_eq!(answer(chunked), whole(200, "abc"));
        for broken in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nab",
        ] {
            assert_eq!(answer(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn names_go_into_paths() {
        assert_eq!(segment("a b/ü"), "a%20b%2F%C3%BC");
        assert_eq!(segment("front-1.x"), "front-1.x");
    }

    #[test]
    fn an_absent_appliance_is_named() {
        let endpoint = Endpoint::Socket("/nonexistent/x.sock".into());
        let failure = endpoint.get("/").unwrap_err();
        assert!(
            failure
                .message()
                .contains("/nonexistent/x.sock does not exist"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_refusal_tells_every_problem() {
        let body = br#"{"error":"2 mistakes","problems":[
            {"severity":"error","path":"$.a","message":"m","found":"1","allowed":"2"},
            {"severity":"error","path":"$.b","message":"n"}]}"#;
        let failure = refusal(&Answer {
            status: 422,
            body: body.to_vec(),
        });
        for part in [
            "2 mistakes",
            "error at $.a",
            "found:   1",
            "allowed: 2",
            "error at $.b",
        ] {
            assert!(
                failure.message().contains(part),
                "{part} is not in {}",
                failure.message()
            );
        }
    }
}
