//! A proxy in front of an HTTP server that fails in the ways in which networks and servers fail.
//!
//! It takes one request a connection, asks a rule what is to become of it, and counts what did.
//! Bytes go through as they are, so that signatures stay true.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write, copy};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A request without its body.
#[derive(Clone, Debug)]
pub struct Head {
    /// `GET`, `PUT` and so on.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Head {
    /// Whether it is a put on a condition.
    pub fn is_conditional_put(&self) -> bool {
        let has = |name| self.headers.contains_key(name);
        self.method == "PUT" && (has("if-none-match") || has("if-match"))
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is answered by the server.
    Through,
    /// The connection ends before the server hears of it.
    LostBefore,
    /// The server does it, and the connection ends before its answer.
    LostAfter,
    /// The proxy answers with this status, and the server does not hear of it.
    Answered(u16),
    /// The server does it, and the proxy answers with this status: what a client that makes its
    /// requests again meets as its own success.
    DoneAndAnswered(u16),
    /// Nobody answers; the server hears of it once the client has given up.
    Late,
    /// The server hears of it without this header.
    Without(&'static str),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Decides, request by request.
pub type Rule = Box<dyn FnMut(&Head) -> Fate + Send>;

/// A running proxy. Drop ends it; requests that are under way end by themselves.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    rule: Mutex<Rule>,
    dealt: Mutex<BTreeMap<Fate, usize>>,
    stopped: AtomicBool,
}

impl Proxy {
    /// A proxy on a port of 127.0.0.1 that lets everything through to `server`, a `host:port`.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            rule: Mutex::new(Box::new(|_| Fate::Through)),
            dealt: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let shared = Arc::clone(&accepting);
                // A connection that breaks is what the proxy is for.
                thread::spawn(move || shared.serve(client).unwrap_or_default());
            }
        });
        Self { address, shared }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Decides by another rule from now on.
    pub fn set_rule(&self, rule: impl FnMut(&Head) -> Fate + Send + 'static) {
        *self.shared.rule.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(rule);
    }

    /// Lets everything through from now on.
    pub fn heal(&self) {
        self.set_rule(|_| Fate::Through);
    }

    /// How many requests met each fate.
    pub fn dealt(&self) -> BTreeMap<Fate, usize> {
        self.shared.dealt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes whoever waits for a connection.
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let Some((head, mut request)) = read_request(&mut client)? else { return Ok(()) };
        let fate = self.rule.lock().unwrap_or_else(PoisonError::into_inner)(&head);
        *self.dealt.lock().unwrap_or_else(PoisonError::into_inner).entry(fate).or_default() += 1;
        match fate {
            Fate::LostBefore => return Ok(()),
            Fate::Answered(status) => return answer(&mut client, status),
            Fate::Late => {
                // The client says nothing more until it closes.
                let _ = client.read(&mut [0]);
            }
            Fate::Without(header) => request = without(&request, header),
            Fate::Through | Fate::LostAfter | Fate::DoneAndAnswered(_) => {}
        }
        let mut server = TcpStream::connect(&self.server)?;
        server.write_all(&request)?;
        match fate {
            Fate::Through | Fate::Without(_) => copy(&mut server, &mut client).map(drop)?,
            _ => copy(&mut server, &mut std::io::sink()).map(drop)?,
        }
        if let Fate::DoneAndAnswered(status) = fate {
            answer(&mut client, status)?;
        }
        client.shutdown(Shutdown::Both)
    }
}

/// The head of a request, understood, and all of its bytes. The server is asked to close the
/// connection after its answer, which tells where that ends.
fn read_request(client: &mut TcpStream) -> std::io::Result<Option<(Head, Vec<u8>)>> {
    let (mut bytes, mut part) = (Vec::new(), [0; 16 << 10]);
    let end = loop {
        let found = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(at) = found {
            break at + 4;
        }
        let read = client.read(&mut part)?;
        if read == 0 || bytes.len() > HEAD_BYTES_MAX {
            return Ok(None);
        }
        bytes.extend_from_slice(&part[..read]);
    };
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        let read = client.read(&mut part)?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&part[..read]);
    }
    bytes.splice(end - 2..end - 2, *b"connection: close\r\n");
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    Ok(Some((Head { method, target, headers }, bytes)))
}

/// A request without one header.
fn without(request: &[u8], header: &str) -> Vec<u8> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 2);
    let (head, rest) = request.split_at(end);
    let is_named = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(header.as_bytes())
    };
    let kept = head.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_named(line));
    kept.flatten().chain(rest).copied().collect()
}

fn answer(client: &mut TcpStream, status: u16) -> std::io::Result<()> {
    let body = "<Error><Code>Injected</Code></Error>";
    write!(
        client,
        "HTTP/1.1 {status} Injected\r\ncontent-type: application/xml\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    client.shutdown(Shutdown::Both)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each connection with what it was sent, as text.
    fn echo() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.expect("a connection");
                let (_, request) = read_request(&mut client).expect("read").expect("a request");
                let length = request.len();
                write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")
                    .expect("sent");
                client.write_all(&request).expect("sent");
            }
        });
        address
    }

    fn send(proxy: &Proxy) -> Result<String, ureq::Error> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let put = agent.put(format!("http://{}/key?x", proxy.address())).header("If-Match", "e");
        let mut response = put.send("the body")?;
        let body = response.body_mut().read_to_string()?;
        Ok(format!("{} {body}", response.status().as_u16()))
    }

    #[test]
    fn a_request_meets_the_fate_that_the_rule_says() {
        let proxy = Proxy::start(&echo());
        let through = send(&proxy).expect("an answer");
        assert!(through.starts_with("200 PUT /key?x HTTP/1.1\r\n"), "{through}");
        assert!(through.contains("if-match: e") && through.ends_with("the body"), "{through}");

        proxy.set_rule(|head| {
            assert!(head.is_conditional_put() && head.target == "/key?x", "{head:?}");
            Fate::Without("if-match")
        });
        let stripped = send(&proxy).expect("an answer");
        assert!(!stripped.contains("if-match") && stripped.ends_with("the body"), "{stripped}");

        for (fate, expected) in [
            (Fate::Answered(503), Some("503 <Error>")),
            (Fate::DoneAndAnswered(409), Some("409 <Error>")),
            (Fate::LostBefore, None),
            (Fate::LostAfter, None),
        ] {
            proxy.set_rule(move |_| fate);
            let answer = send(&proxy).ok();
            assert_eq!(answer.is_some(), expected.is_some(), "{fate}: {answer:?}");
            assert!(answer.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{fate}");
        }
        proxy.heal();
        send(&proxy).expect("an answer");
        assert_eq!(proxy.dealt()[&Fate::Through], 2);
    }
}
