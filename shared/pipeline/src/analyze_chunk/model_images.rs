//! Images as they are shown to a model, kept while their bytes are at hand: nothing is fetched twice.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use domain::{BatchId, keys};

use crate::{Ports, objects};

/// Images remembered as kept. Forgetting one costs no more than keeping it again.
const REMEMBERED: usize = 50_000;
const ATTEMPTS: u32 = 3;

/// An image of a round over a batch, by its SHA-256.
type Name = (BatchId, u32, [u8; 32]);

/// What this process has kept lately.
#[derive(Default)]
pub(super) struct ModelImages {
    kept: Mutex<HashSet<Name>>,
}

impl ModelImages {
    pub(super) fn is_kept(&self, name: &Name) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.contains(name)
    }

    /// Stores an image. One that cannot be stored is reported by the labelling, which does not find it: it is no reason to lose the row.
    pub(super) async fn keep(&self, ports: &Ports, name: Name, sha256: &str, image: Bytes) {
        let (batch, ..) = name;
        let key = keys::vision_image(batch, sha256);
        for attempt in 1..=ATTEMPTS {
            match objects::put(ports, key.clone(), image.clone()).await {
                Ok(()) => {
                    let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() >= REMEMBERED {
                        kept.clear();
                    }
                    kept.insert(name);
                    return;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%batch, attempt, error, "image not kept for the model");
                }
            }
        }
    }
}
