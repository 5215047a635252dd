//! Requests one URL and reports whether it answers 200. `helm test` needs this, because an image with nothing but this
//! binary has no curl. Plain HTTP is enough, since the operator serves nothing else, and needs no client library.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// The URL to request.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The URL, as in http://bailiwick.bailiwick-system:8080/readyz
    #[arg(value_name = "URL")]
    url: String,
    /// The time limit in seconds for connecting and for each answer.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

/// Why the probe failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a supported URL.
    #[error("{0:?} is not of the form http://HOST:PORT/PATH")]
    Url(String),
    /// No answer.
    #[error("{url}: {source}")]
    Unreachable {
        /// The requested URL.
        url: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Another answer than 200.
    #[error("{url} answers: {answer}")]
    Answer {
        /// The requested URL.
        url: String,
        /// The status line and the beginning of the body.
        answer: String,
    },
}

/// Requests the URL, and succeeds if the answer is 200.
///
/// # Errors
/// When there is no answer, or another one.
pub fn run(options: &Options) -> Result<(), Error> {
    let url = &options.url;
    let unusable = || Error::Url(url.clone());
    let rest = url.strip_prefix("http://").ok_or_else(unusable)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !authority.contains(':') || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(unusable());
    }
    let answer = ask(authority, path, Duration::from_secs(options.timeout))
        .map_err(|source| Error::Unreachable { url: url.clone(), source })?;
    if answer.split_whitespace().nth(1) == Some("200") {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let said = format!("{}: {}", answer.lines().next().unwrap_or_default(), body.trim());
    Err(Error::Answer { url: url.clone(), answer: said })
}

fn ask(authority: &str, path: &str, timeout: Duration) -> std::io::Result<String> {
    let mut last = std::io::Error::other("the host name has no address");
    // A name may have addresses of both families, and only one may work.
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes())?;
                let mut answer = Vec::new();
                // Enough for a status and a reason; nobody probes the longer /metrics.
                stream.take(4096).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn probe(url: &str) -> Result<(), String> {
        run(&Options { url: url.to_owned(), timeout: 1 }).map_err(|error| error.to_string())
    }

    /// Answers one request, and returns the URL to ask.
    fn answering(answer: &'static str) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // A request may come in pieces.
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            assert!(request.starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        format!("http://{address}/readyz")
    }

    #[test]
    fn only_200_is_well() {
        assert_eq!(probe(&answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n")), Ok(()));
        let error = probe(&answering("HTTP/1.1 503 Service Unavailable\r\n\r\nnot yet\n")).unwrap_err();
        assert!(error.ends_with("answers: HTTP/1.1 503 Service Unavailable: not yet"), "{error}");
        // Not an HTTP server.
        assert!(probe(&answering("SSH-2.0-OpenSSH_9.9\r\n")).is_err());
    }

    #[test]
    fn silence_and_other_urls_are_said() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(probe(&format!("http://{nobody}/readyz")).unwrap_err().contains("refused"));
        for url in
            ["https://bailiwick:8080/readyz", "bailiwick:8080", "http://bailiwick/readyz", "http://a:1/b\r\nX: y"]
        {
            assert!(probe(url).unwrap_err().contains("not of the form"), "{url}");
        }
    }
}
