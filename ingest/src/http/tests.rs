//! The pages through a socket, as a scraper or an orchestrator asks for them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::places::SILENCE_MAX;
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

/// As many clients as there are places, and none of them says anything.
#[tokio::test(start_paused = true)]
async fn silent_clients_keep_nobody_out() {
    let (address, _) = start().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(address).await.expect("a connection"));
    }
    let asked = Instant::now();
    assert_eq!(get_page(address, "/-/healthy").await.0, "200");
    assert!(asked.elapsed() <= 2 * SILENCE_MAX, "waited for {:?}", asked.elapsed());
    let mut left = Vec::new();
    silent[0].read_to_end(&mut left).await.expect("the first was let go");
    assert!(asked.elapsed() <= 2 * SILENCE_MAX, "let go after {:?}", asked.elapsed());
}

/// A client that was answered, and keeps its connection, is as silent as one that never asked.
#[tokio::test(start_paused = true)]
async fn answered_clients_that_stay_keep_nobody_out() {
    let (address, _) = start().await;
    let mut stay = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let mut begins = [0; 12];
        stream.read_exact(&mut begins).await.expect("an answer");
        assert_eq!(&begins, b"HTTP/1.1 200");
        stay.push(stream);
    }
    let asked = Instant::now();
    assert_eq!(get_page(address, "/-/healthy").await.0, "200");
    assert!(asked.elapsed() <= 2 * SILENCE_MAX, "waited for {:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_being_answered_keeps_its_place() {
    let places = Places::new(2);
    let (busy, silent) = (places.take().await, places.take().await);
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let answering = async {
        busy.answer(finished).await.expect("it is finished");
    };
    let third = async {
        let began = Instant::now();
        let place = tokio::select! {
            place = places.take() => place,
            () = busy.lost() => panic!("the busy one was asked to go"),
            () = async { silent.lost().await; drop(silent); std::future::pending().await } => {
                unreachable!("it is pending")
            }
        };
        assert!(began.elapsed() >= SILENCE_MAX, "a silent one is given time");
        finish.send(()).expect("it is awaited");
        place
    };
    let ((), place) = tokio::join!(answering, third);
    drop(place);
}
