//! Listings: keys from the indexes, newest first, then the batches themselves.
//!
//! The indexes hold keys only, so that counting a part never writes to one. They lag behind, so every batch found is looked at again.

use std::collections::{HashMap, VecDeque};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::ports::{BatchQuery, Page, PortResult};
use domain::{Batch, BatchId, BatchStatus};

use super::batches::{self, CREATED, OWNER, STATUS, index_status, index_statuses};
use super::items::{batch_key, text};
use super::{DynamoStore, reading};
use crate::error::{Malformed, corrupt, fault};

const OPERATION: &str = "list batches";
const BY_STATUS: &str = "batches-by-status";
const BY_OWNER: &str = "batches-by-owner";

pub(super) async fn list(store: &DynamoStore, query: &BatchQuery) -> PortResult<Page<Batch>> {
    // One more than asked for tells whether there is more.
    let wanted = query.limit.saturating_add(1);
    let mut candidates = Candidates::of(query);
    let mut items = Vec::new();
    while items.len() < wanted {
        let missing = (wanted - items.len()).min(reading::MAX_KEYS);
        let ids = candidates.take(store, missing).await?;
        if ids.is_empty() {
            break;
        }
        let found = batches_of(store, &ids).await?;
        items.extend(found.into_iter().filter(|batch| passes(batch, query)));
    }
    let more = items.len() > query.limit;
    items.truncate(query.limit);
    Ok(Page { items, more })
}

fn passes(batch: &Batch, query: &BatchQuery) -> bool {
    query
        .owner
        .as_ref()
        .is_none_or(|owner| *owner == batch.owner)
        && query.status.is_none_or(|status| status == batch.status)
        && !(query.without_report && batch.report_ready)
}

/// The batches with these ids that still exist, in the order of the ids.
async fn batches_of(store: &DynamoStore, ids: &[BatchId]) -> PortResult<Vec<Batch>> {
    let keys = ids.iter().map(|id| batch_key(*id)).collect();
    let mut found = HashMap::new();
    for item in reading::get_all(store, OPERATION, keys).await? {
        let batch = batches::read(item).map_err(|error| corrupt(OPERATION, error))?;
        found.insert(batch.id, batch);
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// Ids of batches that may pass a query, newest first, each once: those in any of `states` and, with an owner, in the owner's list too.
struct Candidates {
    states: Vec<Keys>,
    owner: Option<Keys>,
}

impl Candidates {
    fn of(query: &BatchQuery) -> Self {
        let owner = query
            .owner
            .as_ref()
            .map(|owner| Keys::new(BY_OWNER, OWNER, owner, query));
        let mut states = Vec::new();
        // The owner's list alone has all of an owner's batches.
        if owner.is_none() || query.status.is_some() || query.without_report {
            for status in BatchStatus::ALL {
                if query.status.is_some_and(|wanted| wanted != *status) {
                    continue;
                }
                let names = if query.without_report {
                    vec![index_status(*status, false)]
                } else {
                    index_statuses(*status)
                };
                for name in names {
                    states.push(Keys::new(BY_STATUS, STATUS, name, query));
                }
            }
        }
        Self { states, owner }
    }

    /// Up to `count` ids; fewer only at the end.
    async fn take(&mut self, store: &DynamoStore, count: usize) -> PortResult<Vec<BatchId>> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            match self.next(store).await? {
                Some(id) => ids.push(id),
                None => break,
            }
        }
        Ok(ids)
    }

    async fn next(&mut self, store: &DynamoStore) -> PortResult<Option<BatchId>> {
        let Some(owner) = &mut self.owner else {
            return newest(&mut self.states, store).await;
        };
        if self.states.is_empty() {
            return owner.next(store).await;
        }
        // Both lists descend: the one that is ahead skips to where the other is.
        let Some(mut id) = owner.next(store).await? else {
            return Ok(None);
        };
        loop {
            for state in &mut self.states {
                state.skip_to(id);
            }
            let Some(in_state) = newest(&mut self.states, store).await? else {
                return Ok(None);
            };
            if in_state == id {
                return Ok(Some(id));
            }
            owner.skip_to(in_state);
            let Some(in_list) = owner.next(store).await? else {
                return Ok(None);
            };
            if in_list == in_state {
                return Ok(Some(in_list));
            }
            id = in_list;
        }
    }
}

/// The newest id at the heads of several lists, taken off all that have it: while a batch moves, it may be in two.
async fn newest(lists: &mut [Keys], store: &DynamoStore) -> PortResult<Option<BatchId>> {
    let mut newest = None;
    for list in lists.iter_mut() {
        newest = newest.max(list.peek(store).await?);
    }
    if let Some(newest) = newest {
        for list in lists {
            list.drop_if(newest);
        }
    }
    Ok(newest)
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Below(BatchId),
    At(BatchId),
}

/// The ids in one partition of an index, newest first, page by page.
struct Keys {
    index: &'static str,
    attribute: &'static str,
    value: String,
    /// Where the next page starts.
    start: Option<Start>,
    page: VecDeque<BatchId>,
    page_size: usize,
    ended: bool,
}

impl Keys {
    fn new(index: &'static str, attribute: &'static str, value: &str, query: &BatchQuery) -> Self {
        Self {
            index,
            attribute,
            value: value.to_owned(),
            start: query.before.map(Start::Below),
            page: VecDeque::new(),
            page_size: query.limit.saturating_add(1).min(1_000),
            ended: false,
        }
    }

    async fn peek(&mut self, store: &DynamoStore) -> PortResult<Option<BatchId>> {
        if self.page.is_empty() && !self.ended {
            self.read_page(store).await?;
        }
        Ok(self.page.front().copied())
    }

    async fn next(&mut self, store: &DynamoStore) -> PortResult<Option<BatchId>> {
        let next = self.peek(store).await?;
        self.page.pop_front();
        Ok(next)
    }

    fn drop_if(&mut self, id: BatchId) {
        if self.page.front() == Some(&id) {
            self.page.pop_front();
        }
    }

    /// Passes over all ids newer than `id`, without reading those that are not read yet.
    fn skip_to(&mut self, id: BatchId) {
        while self.page.front().is_some_and(|newer| *newer > id) {
            self.page.pop_front();
        }
        let is_further = match self.start {
            None => true,
            Some(Start::Below(start) | Start::At(start)) => id < start,
        };
        if self.page.is_empty() && is_further {
            self.start = Some(Start::At(id));
        }
    }

    async fn read_page(&mut self, store: &DynamoStore) -> PortResult<()> {
        let mut condition = "#value = :value";
        let mut request = store
            .client()
            .query()
            .table_name(store.table())
            .index_name(self.index)
            .expression_attribute_names("#value", self.attribute)
            .expression_attribute_values(":value", AttributeValue::S(self.value.clone()));
        if let Some(start) = self.start {
            let id = match start {
                Start::Below(id) => {
                    condition = "#value = :value AND #created < :start";
                    id
                }
                Start::At(id) => {
                    condition = "#value = :value AND #created <= :start";
                    id
                }
            };
            request = request
                .expression_attribute_names("#created", CREATED)
                .expression_attribute_values(":start", AttributeValue::S(id.to_string()));
        }
        let answer = request
            .key_condition_expression(condition)
            .scan_index_forward(false)
            .limit(self.page_size as i32)
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        for item in answer.items() {
            let id = text(item, CREATED).and_then(|id| {
                id.parse()
                    .map_err(|_| Malformed::Attribute(CREATED.to_owned()))
            });
            self.page
                .push_back(id.map_err(|error| corrupt(OPERATION, error))?);
        }
        self.start = self.page.back().copied().map(Start::Below);
        self.ended = answer.last_evaluated_key.is_none() || self.page.is_empty();
        Ok(())
    }
}
