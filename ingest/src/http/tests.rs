//! The pages through a socket, as a scraper or an orchestrator asks for them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;

/// A server on a port of its own, until the test's runtime ends.
async fn start() -> (SocketAddr, Status) {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let status = Status::default();
    let pages = Pages {
        metrics: Metrics::new(),
        status: status.clone(),
        budget: ByteBudget::new(100),
        business: business::Page::default(),
    };
    tokio::spawn(serve(listener, pages));
    (address, status)
}

/// The whole answer, head and body.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

async fn get_page(address: SocketAddr, path: &str) -> (String, String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let (status, headers) = head.split_once("\r\n").expect("a status line");
    let status = status.split(' ').nth(1).expect("a status").to_owned();
    (status, headers.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn metrics_are_served_in_the_text_format() {
    let (address, _) = start().await;
    let (status, headers, body) = get_page(address, "/metrics").await;
    assert_eq!(status, "200");
    assert!(headers.contains("content-type: text/plain; version=0.0.4"), "{headers}");
    assert!(body.contains("\npostroad_build_info{"), "{body}");
    let (status, headers, body) = get_page(address, "/metrics/business").await;
    assert_eq!((&*status, &*body), ("200", ""), "it does not publish");
    assert!(headers.contains("content-type: text/plain; version=0.0.4"), "{headers}");
}

#[tokio::test]
async fn an_instance_is_healthy_before_it_is_ready() {
    let (address, shown) = start().await;
    assert_eq!(get_page(address, "/-/healthy").await.0, "200");
    shown.update(|view| view.store_failing = Some("no space".to_owned()));
    let (status, _, body) = get_page(address, "/-/ready").await;
    let missing = "the consumer group has not assigned partitions yet\nthe store fails: no space\n";
    assert_eq!((&*status, &*body), ("503", missing));
    shown.update(|view| {
        view.joined = true;
        view.store_failing = None;
    });
    let (status, _, body) = get_page(address, "/-/ready").await;
    assert_eq!((&*status, &*body), ("200", "ready\n"));
}

#[tokio::test]
async fn there_is_a_page_for_people_and_nothing_else() {
    let (address, _) = start().await;
    let (status, headers, body) = get_page(address, "/").await;
    assert_eq!(status, "200");
    assert!(headers.contains("content-type: text/html"), "{headers}");
    assert!(body.contains("/metrics"), "{body}");
    assert_eq!(get_page(address, "/nowhere").await.0, "404");
    let post =
        "POST /metrics HTTP/1.1\r\nHost: l\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(exchange(address, post).await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_the_setting() {
    let (address, _) = start().await;
    let failure = bind(address).await.expect_err("it is taken");
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(failure.message.contains(&address.to_string()), "{failure}");
    assert!(failure.message.contains("http.listen"), "{failure}");
}

/// Time is virtual: it passes as soon as nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_half_a_head_is_let_go() {
    let (address, _) = start().await;
    let began = Instant::now();
    exchange(address, "GET /metrics HTTP/1.1\r\nHost: loc").await;
    let waited = began.elapsed();
    assert!(waited >= HEADER_TIMEOUT, "{waited:?}");
    assert!(waited < CONNECTION_LIFETIME, "{waited:?}");
}

/// More clients than places, all silent: whoever comes next is served once they are let go.
#[tokio::test(start_paused = true)]
async fn silent_clients_do_not_keep_the_others_out_for_ever() {
    let (address, _) = start().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(address).await.expect("a connection"));
    }
    let asked = Instant::now();
    assert_eq!(get_page(address, "/-/healthy").await.0, "200");
    assert!(asked.elapsed() <= 2 * HEADER_TIMEOUT, "waited for {:?}", asked.elapsed());
}
