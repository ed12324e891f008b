//! Serves a cache's counters to Prometheus. They are read when somebody scrapes; between scrapes nobody works for them.
//!
//! ```sh
//! cargo run --example prometheus --features metrics -- 127.0.0.1:9100
//! curl http://127.0.0.1:9100/metrics
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use accelerator::{CacheError, LevelCache, stores::MokaL1};
use metrics_exporter_prometheus::PrometheusBuilder;

type Names = LevelCache<u64, Arc<str>, MokaL1<u64, Arc<str>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9100".to_owned());
    // Before the first report: what is reported without a recorder is lost.
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let names = names()?;

    let listener = TcpListener::bind(address)?;
    println!("http://{}/metrics", listener.local_addr()?);
    let reported = names.clone();
    std::thread::spawn(move || {
        serve(&listener, || {
            // One line for each cache.
            reported.report_metrics();
            prometheus.render()
        });
    });

    // What the service does all day.
    for id in (0..100).cycle() {
        names.get(&id).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn names() -> Result<Names, CacheError> {
    LevelCache::builder()
        .area("user-name")
        .l1(MokaL1::new(10_000))
        .ttl(Duration::from_secs(5))
        .loader(|id: u64| async move { Ok::<_, io::Error>(Some(Arc::from(format!("user {id}")))) })
        .build()
}

/// Answers `GET /metrics` with `scrape()`, one request after another. A service does this with the HTTP server that it
/// has anyway.
fn serve(listener: &TcpListener, scrape: impl Fn() -> String) {
    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(|stream| answer(stream, &scrape)) {
            eprintln!("a scrape failed: {error}");
        }
    }
}

fn answer(mut stream: TcpStream, scrape: impl Fn() -> String) -> io::Result<()> {
    // One slow client must not keep the others waiting.
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 16 * 1024 {
        match stream.read(&mut part)? {
            0 => break,
            n => head.extend_from_slice(&part[..n]),
        }
    }
    let (status, body) = match head.starts_with(b"GET /metrics ") {
        true => ("200 OK", scrape()),
        false => ("404 Not Found", "Look at /metrics.\n".to_owned()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use accelerator::METRIC_NAMES;

    use super::*;

    /// Every counter stands in `page` once, typed, described and with the area.
    fn assert_complete(page: &str) {
        for name in METRIC_NAMES {
            let start = format!("{name}{{area=\"user-name\"}} ");
            let lines: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(&start)).collect();
            assert!(matches!(lines.as_slice(), [value] if value.parse::<u64>().is_ok()), "{name}: {lines:?}\n{page}");
            assert!(page.contains(&format!("# TYPE {name} counter\n")), "{name}\n{page}");
            assert!(page.contains(&format!("# HELP {name} ")), "{name}\n{page}");
        }
    }

    fn value(page: &str, name: &str) -> String {
        let start = format!("accelerator_cache_{name}_total{{area=\"user-name\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
    }

    fn fetch(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[tokio::test]
    async fn all_names_are_rendered() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let names = names().unwrap();
        metrics::with_local_recorder(&recorder, || names.report_metrics());
        let page = recorder.handle().render();
        assert_eq!(METRIC_NAMES.len(), 25);
        assert_complete(&page);
        for id in [1, 1, 1, 2] {
            names.get(&id).await.unwrap();
        }
        metrics::with_local_recorder(&recorder, || names.report_metrics());
        let page = recorder.handle().render();
        assert_complete(&page);
        assert_eq!(["local_hit", "local_miss", "load", "load_success"].map(|name| value(&page, name)), ["2"; 4]);
    }

    #[tokio::test]
    async fn a_scrape_over_http_has_what_was_counted_until_then() {
        let prometheus = PrometheusBuilder::new().install_recorder().unwrap();
        let names = names().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let reported = names.clone();
        std::thread::spawn(move || {
            serve(&listener, || {
                reported.report_metrics();
                prometheus.render()
            });
        });
        let page = fetch(address, "/metrics");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert_complete(&page);
        assert_eq!(value(&page, "load"), "0");
        names.get(&1).await.unwrap();
        names.get(&1).await.unwrap();
        let page = fetch(address, "/metrics");
        assert_eq!((value(&page, "local_hit"), value(&page, "load")), ("1".to_owned(), "1".to_owned()));
        assert!(fetch(address, "/").starts_with("HTTP/1.1 404 "));
    }
}
