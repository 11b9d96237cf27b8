//! Names that answer a check with one address and lead to another.

use std::net::IpAddr;
use std::sync::Arc;

use domain::{Outcome, ResultRow};
use fetching::{FetchOptions, Robots};
use sample_origin::Origin;

use crate::support::{CORPUS, IMAGE, Names, Traps, beside_others, describe, limits, run};

const NAMES: usize = 24;
const ROWS_A_NAME: usize = 5;

fn name(number: usize) -> String {
    format!("rebinding-{number}.example")
}

/// Rows of every name; the odd ones break the connection, so that the next row dials again.
fn list(port: u16) -> Vec<String> {
    let mut list = Vec::new();
    for row in 0..ROWS_A_NAME {
        let route = if row % 2 == 0 { "image" } else { "truncated" };
        list.extend(
            (0..NAMES)
                .map(|number| format!("http://{}:{port}/{route}/{IMAGE}?row={row}", name(number))),
        );
    }
    list
}

/// Whether the rows of each name were let through.
fn let_through(rows: &[ResultRow]) -> Vec<bool> {
    let mut let_through = Vec::new();
    for number in 0..NAMES {
        let of_name = || rows.iter().skip(number).step_by(NAMES);
        let is_open = of_name().next().unwrap().outcome == Outcome::Ok;
        for (row, result) in of_name().enumerate() {
            let expected = match (is_open, row % 2) {
                (false, _) => Outcome::BlockedAddress,
                (true, 0) => Outcome::Ok,
                (true, _) => Outcome::Truncated,
            };
            assert_eq!(result.outcome, expected, "{}", describe(result));
        }
        let_through.push(is_open);
    }
    let_through
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_changes_between_look_ups_never_leads_to_its_other_address() {
    let _turn = beside_others().await;
    let origin = Origin::start(Arc::clone(&CORPUS)).unwrap();
    let port = origin.addr().port();
    let traps = Traps::set_at(&["127.0.0.2"], port).await;
    // Every second look-up of a name tells the private address; names with an odd number begin with that.
    let names = Names::new(|name, before| {
        let number: usize = name.split(['-', '.']).nth(1)?.parse().ok()?;
        let is_private = (number + before) % 2 == 1;
        let address = if is_private { "127.0.0.2" } else { "127.0.0.1" };
        Some(vec![address.parse::<IpAddr>().unwrap()])
    });
    let fetch = FetchOptions {
        allow_private: vec!["127.0.0.1/32".parse().unwrap()],
        allow_ports: vec![port],
        robots: Robots::Ignore,
        resolver: Some(Arc::clone(&names) as _),
        ..FetchOptions::default()
    };
    // Each run has a fetcher of its own, which looks every name up once more.
    for round in 0..2 {
        let rows = run(&list(port), fetch.clone(), &limits()).await;
        for (number, is_open) in let_through(&rows).into_iter().enumerate() {
            assert_eq!(is_open, (number + round) % 2 == 0, "{}", name(number));
            assert_eq!(names.lookups(&name(number)), round + 1);
        }
    }
    assert_eq!(traps.connections(), 0);
}
