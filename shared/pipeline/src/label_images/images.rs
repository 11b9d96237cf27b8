//! The distinct images of a part, and what is known of them already.

use std::collections::BTreeMap;

use bytes::Bytes;
use caching::{Cache, Cached, Claim, Kind};
use domain::{BatchId, RowNumber, VisionCounters, VisionMessage, VisionOptions, VisionReuse, keys};
use std::time::Duration;

use super::answers::{ImageRow, Tries, read_step};
use crate::{PipelineError, PipelineResult, Ports, objects};

/// One distinct image of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// What its answer is kept under, in the order in which it is leased: the bytes of the file that is sent; then, if answers are shared
    /// among those that look the same, their looks.
    pub(super) keys: Vec<String>,
    /// What answers about other files that look the same are kept under.
    pub(super) alike: Vec<String>,
    /// SHA-256 of the file that is sent.
    pub(super) sha256: String,
    pub(super) rows: Vec<RowNumber>,
    pub(super) tries: Tries,
}

impl Image {
    fn new(sha256: &str, looks: Option<&str>, question: &str, tries: Tries) -> Self {
        let contents = [Some(sha256), looks].into_iter().flatten();
        Self {
            keys: contents.map(|content| key(content, question)).collect(),
            alike: Vec::new(),
            sha256: sha256.to_owned(),
            rows: Vec::new(),
            tries,
        }
    }

    fn add(&mut self, row: RowNumber, sha256: &str, question: &str) {
        self.rows.push(row);
        if self.sha256 != sha256 {
            let key = key(sha256, question);
            if !self.alike.contains(&key) {
                self.alike.push(key);
            }
        }
    }

    /// Leases it under all its keys, or under none.
    pub(super) async fn claim(
        &self,
        cache: &Cache,
        kind: &Kind,
        holder: &str,
        lease: Duration,
    ) -> PipelineResult<Claim> {
        for (position, key) in self.keys.iter().enumerate() {
            let claim = cache.claim(kind, key, holder, lease).await?;
            if claim != Claim::Claimed {
                for held in &self.keys[..position] {
                    cache.release(kind, held, holder).await?;
                }
                return Ok(claim);
            }
        }
        Ok(Claim::Claimed)
    }

    /// Ends its leases without an answer.
    pub(super) async fn release(
        &self,
        cache: &Cache,
        kind: &Kind,
        holder: &str,
    ) -> PipelineResult<()> {
        for key in &self.keys {
            cache.release(kind, key, holder).await?;
        }
        Ok(())
    }

    /// Keeps its answer, which ends its leases.
    pub(super) async fn keep(
        &self,
        cache: &Cache,
        kind: &Kind,
        cached: &Cached,
    ) -> PipelineResult<()> {
        for key in &self.keys {
            cache.put(kind, key, cached.clone()).await?;
        }
        Ok(())
    }

    /// The file that is sent.
    pub(super) async fn read(
        &self,
        ports: &Ports,
        batch: BatchId,
    ) -> PipelineResult<Option<Bytes>> {
        objects::get(ports, &keys::vision_image(batch, &self.sha256)).await
    }
}

fn key(content: &str, question: &str) -> String {
    format!("{content}#{question}")
}

/// What a step has to do: the images of a part, or those that the step before left over; and what all steps before came to.
pub(super) async fn open_images(
    ports: &Ports,
    message: &VisionMessage,
    options: &VisionOptions,
    question: &str,
) -> PipelineResult<(Vec<Image>, VisionCounters)> {
    let key = keys::result(message.part);
    let (_, text) = objects::read_part(ports, &key).await?;
    let rows: Vec<ImageRow> = objects::parse_lines(&key, &text)?;
    let mut total = VisionCounters::default();
    let mut tries = BTreeMap::new();
    let mut leftover: Option<Vec<RowNumber>> = None;
    if let Some(before) = message.step.checked_sub(1) {
        let manifest = read_step(ports, message.part, before).await?;
        let manifest = manifest.ok_or_else(|| PipelineError::CorruptObject {
            key: keys::vision_answers(message.part, before),
            reason: "it is missing, and the step after it needs it".to_owned(),
        })?;
        total = manifest.total;
        tries = manifest.tries;
        leftover = Some(manifest.leftover);
    }
    let is_open = |row: RowNumber| {
        leftover
            .as_ref()
            .is_none_or(|leftover| leftover.binary_search(&row).is_ok())
    };
    let mut by_content: BTreeMap<String, Image> = BTreeMap::new();
    for row in rows {
        let Some(sha256) = row.labelled_sha256().filter(|_| is_open(row.row)) else {
            continue;
        };
        let looks = match options.reuse {
            VisionReuse::Exact => None,
            VisionReuse::Near => row.near_content(),
        };
        let content = looks.as_deref().unwrap_or(sha256);
        by_content
            .entry(content.to_owned())
            .or_insert_with(|| {
                let tries = tries.get(sha256).copied().unwrap_or_default();
                Image::new(sha256, looks.as_deref(), question, tries)
            })
            .add(row.row, sha256, question);
    }
    Ok((by_content.into_values().collect(), total))
}

/// Each image with the answer that is known of it. An answer about the same bytes is an answer about the same looks from then on.
pub(super) async fn look_up(
    cache: &Cache,
    kind: &Kind,
    images: Vec<Image>,
) -> PipelineResult<Vec<(Image, Option<Cached>)>> {
    let keys_of = |image: &Image| image.keys.len() + image.alike.len();
    let wanted: Vec<String> = images
        .iter()
        .flat_map(|image| image.keys.iter().chain(&image.alike).cloned())
        .collect();
    let mut found = cache.get_many(kind, &wanted).await?.into_iter();
    let mut known = Vec::with_capacity(images.len());
    for image in images {
        let answers: Vec<Option<Cached>> = found.by_ref().take(keys_of(&image)).collect();
        // That there is no answer about one file says little about another that looks the same.
        let of_itself = answers.first().cloned().flatten();
        let positive = answers.iter().flatten().find(|cached| !cached.is_negative);
        let answer = positive.cloned().or(of_itself);
        if let (Some(answer), Some(looks)) = (&answer, image.keys.get(1))
            && answers.get(1).is_some_and(Option::is_none)
            && !answer.is_negative
        {
            cache.put(kind, looks, answer.clone()).await?;
        }
        known.push((image, answer));
    }
    Ok(known)
}
