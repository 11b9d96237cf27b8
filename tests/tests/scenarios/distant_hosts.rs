//! Four hundred hosts, each 100 ms away: how much they are asked at once, how often, and that nothing is asked in vain.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Outcome;
use fetching::FetchOptions;
use sample_origin::{HostLoad, Origin, OriginOptions};

use crate::support::{CORPUS, IMAGE, alone, describe, limits, run_in_chunks};

const HOSTS: u16 = 400;
const LATENCY: Duration = Duration::from_millis(100);
const ROWS_A_HOST: usize = 8;
const PER_HOST: usize = 3;
/// At most twenty requests a second to one host.
const INTERVAL: Duration = Duration::from_millis(50);

fn origin() -> Origin {
    let options = OriginOptions {
        latency: LATENCY,
        further_hosts: HOSTS,
        record_loads: true,
        ..OriginOptions::default()
    };
    Origin::start_with(Arc::clone(&CORPUS), options).unwrap()
}

fn fetch() -> FetchOptions {
    FetchOptions {
        max_concurrent: 512,
        max_concurrent_per_host: PER_HOST,
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        ..FetchOptions::default()
    }
}

fn loads(origin: &Origin) -> HashMap<u16, HostLoad> {
    let number = |address: std::net::Ipv4Addr| (u32::from(address) - 0x7f00_0001) as u16;
    let loads = origin.loads().into_iter();
    loads
        .map(|(address, load)| (number(address), load))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_host_gets_more_at_once_or_a_second_than_configured_and_nothing_is_asked_in_vain() {
    let _turn = alone().await;
    let origin = origin();
    let mut list = Vec::new();
    for row in 0..ROWS_A_HOST {
        list.extend(
            (1..=HOSTS).map(|host| origin.url_on(host, &format!("/image/{IMAGE}?row={row}"))),
        );
    }
    let paced = FetchOptions {
        min_interval_per_host: INTERVAL,
        ..fetch()
    };
    let rows = run_in_chunks(&list, 500, paced, &limits()).await;
    for row in &rows {
        assert_eq!(
            (row.outcome, row.attempts),
            (Outcome::Ok, 1),
            "{}",
            describe(row)
        );
    }
    // Its robots.txt for every host, and every row once.
    let needed = list.len() + usize::from(HOSTS);
    let made = origin.requests() as usize;
    assert!(
        made >= needed && made * 100 <= needed * 105,
        "{made} requests, {needed} needed"
    );
    let loads = loads(&origin);
    assert_eq!(loads.len(), usize::from(HOSTS));
    let allowed_a_second = (Duration::from_secs(1).as_millis() / INTERVAL.as_millis()) as usize;
    let mut most_at_once = 0;
    for (host, load) in &loads {
        assert!(
            load.most_at_once <= PER_HOST,
            "host {host}: {} at once",
            load.most_at_once
        );
        // One more than fits, and one that was sent in time and came late.
        let most = load.most_within(Duration::from_secs(1));
        assert!(most <= allowed_a_second + 2, "host {host}: {most} a second");
        let stretch = *load.arrivals.last().unwrap() - load.arrivals[0];
        let least = INTERVAL * (ROWS_A_HOST as u32 - 1) * 9 / 10;
        assert!(stretch >= least, "host {host}: all within {stretch:?}");
        most_at_once = most_at_once.max(load.most_at_once);
    }
    assert!(most_at_once > 1, "the bound was never tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_answers_429_is_backed_off_and_recovers() {
    const LIMITED: u16 = 7;
    const LIMITED_ROWS: usize = 24;
    /// Images a second that the host gives away.
    const RATE: u32 = 10;
    let _turn = alone().await;
    let origin = origin();
    let mut list = Vec::new();
    for row in 0..ROWS_A_HOST {
        let others = (1..=HOSTS).filter(|host| *host != LIMITED);
        list.extend(others.map(|host| origin.url_on(host, &format!("/image/{IMAGE}?row={row}"))));
    }
    list.extend(
        (0..LIMITED_ROWS)
            .map(|row| origin.url_on(LIMITED, &format!("/limited/{RATE}/{IMAGE}?row={row}"))),
    );
    let patient = domain::Limits {
        max_attempts: 6,
        ..limits()
    };
    let started = Instant::now();
    let rows = run_in_chunks(&list, 500, fetch(), &patient).await;
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    for row in &rows {
        assert_eq!(row.outcome, Outcome::Ok, "{}", describe(row));
    }
    let needed = list.len() + usize::from(HOSTS);
    let made = origin.requests() as usize;
    assert!(
        made * 100 <= needed * 105,
        "{made} requests, {needed} needed"
    );
    let limited = &loads(&origin)[&LIMITED];
    let refused = limited.arrivals.len() - LIMITED_ROWS - 1;
    // It had to say so, and was not asked as often again as it had images to give.
    assert!(
        (1..=LIMITED_ROWS).contains(&refused),
        "{refused} requests refused"
    );
}
