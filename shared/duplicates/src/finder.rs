//! The steps of the search, each a pass over sorted records:
//!
//! 1. rows by content: the first of each content, and its copies;
//! 2. rows by host and content: placeholders;
//! 3. firsts by row: representatives and what is near them;
//! 4. copies beside firsts: every row's group;
//! 5. members by group: the summary.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::external_sort::{Sorted, Sorter, Spool, SpoolReader};
use crate::findings::Findings;
use crate::image::{Image, Key};
use crate::index_file::{self, EarlierBatches};
use crate::records::{Content, Copy, First, Mark, Marked, Member, OfHost};
use crate::representatives::{Candidate, Representatives, TOGETHER};
use crate::summary::{self, Summary};
use crate::{DuplicatesError, DuplicatesResult, Settings, placeholders};

/// Sorts that take records at the same time.
const SORTS_AT_ONCE: usize = 4;

/// Takes the images of a batch, in any order, and finds what is the same in them.
pub struct Finder {
    settings: Settings,
    scratch: PathBuf,
    earlier: EarlierBatches,
    contents: Sorter<Content>,
    of_hosts: Sorter<OfHost>,
    images: u64,
    flat: u64,
}

impl Finder {
    /// An empty one. What does not fit into memory goes to unlinked files in the folder `scratch`: up to 300 bytes a row.
    pub fn new(settings: Settings, scratch: &Path) -> DuplicatesResult<Self> {
        settings.check()?;
        let bytes = settings.sort_bytes / SORTS_AT_ONCE;
        Ok(Self {
            // Records of contents are the larger ones by far.
            contents: Sorter::new(scratch, 2 * bytes),
            of_hosts: Sorter::new(scratch, bytes),
            settings,
            scratch: scratch.to_owned(),
            earlier: EarlierBatches::default(),
            images: 0,
            flat: 0,
        })
    }

    /// Matches the batch also against the batches of an index that [`Findings::write_index`] wrote. Before the first image.
    pub fn match_against(&mut self, index: impl Read) -> DuplicatesResult<()> {
        if self.images > 0 || !self.earlier.labels.is_empty() {
            return Err(DuplicatesError::IndexTooLate);
        }
        let mut source = io::BufReader::new(index);
        let (earlier, firsts) = index_file::read(&mut source, &self.settings)?;
        self.earlier = earlier;
        for first in firsts {
            let First(content) = first?;
            self.contents
                .push(content)
                .map_err(DuplicatesError::Scratch)?;
        }
        Ok(())
    }

    /// Adds one row.
    pub fn add(&mut self, image: &Image) -> DuplicatesResult<()> {
        let key = Key::new(self.earlier.labels.len() as u32, image.row)?;
        let is_flat = self.settings.flat.contains(image.entropy, image.contrast);
        let content = Content {
            sha256: image.sha256,
            key,
            group: key,
            phash: image.phash.map_or(0, |phash| phash.0),
            is_comparable: image.phash.is_some() && !is_flat,
            is_settled: false,
            bytes: image.bytes,
            pixels: image.pixels,
        };
        let of_host = OfHost {
            host: image.host,
            content: image.sha256.first_chunk().copied().unwrap_or_default(),
            key,
        };
        self.images += 1;
        self.flat += u64::from(is_flat);
        let pushed = self.contents.push(content);
        pushed
            .and_then(|()| self.of_hosts.push(of_host))
            .map_err(DuplicatesError::Scratch)
    }

    /// Finds what is the same in the rows added.
    pub fn finish(self) -> DuplicatesResult<Findings> {
        let scratch = DuplicatesError::Scratch;
        let bytes = self.settings.sort_bytes / SORTS_AT_ONCE;
        let mut marks = Sorter::new(&self.scratch, bytes);
        let of_hosts = self.of_hosts.finish().map_err(scratch)?;
        let placeholders = placeholders::mark(of_hosts, self.settings.placeholder, &mut marks)?;

        let mut firsts = Sorter::new(&self.scratch, bytes);
        let mut copies = Sorter::new(&self.scratch, bytes);
        let contents = self.contents.finish().map_err(scratch)?;
        split_by_content(contents, &mut firsts, &mut copies)?;

        let firsts = firsts.finish().map_err(scratch)?;
        let mut settled = Spool::new(&self.scratch).map_err(scratch)?;
        settle(firsts, &self.settings, &mut settled)?;

        let mut members = Sorter::new(&self.scratch, bytes);
        let copies = copies.finish().map_err(scratch)?;
        let this_batch = self.earlier.labels.len() as u32;
        let firsts = settled.read().map_err(scratch)?;
        let mut grouping = Grouping {
            this_batch,
            marks: &mut marks,
            members: &mut members,
        };
        grouping.run(firsts, copies)?;

        let members = members.finish().map_err(scratch)?;
        let firsts = settled.read().map_err(scratch)?;
        let summary = Summary {
            images: self.images,
            flat: self.flat,
            placeholders,
            ..summary::of_members(members, firsts)?
        };
        let marks = marks.finish().map_err(scratch)?;
        Ok(Findings::new(
            summary,
            marks,
            settled,
            self.earlier,
            self.settings,
        ))
    }
}

/// Step 1: of rows sorted by content, the first of each goes to `firsts`, the others to `copies`.
fn split_by_content(
    contents: Sorted<Content>,
    firsts: &mut Sorter<First>,
    copies: &mut Sorter<Copy>,
) -> DuplicatesResult<()> {
    let mut current: Option<Content> = None;
    for content in contents {
        let content = content.map_err(DuplicatesError::Scratch)?;
        let pushed = match current {
            Some(first) if first.sha256 == content.sha256 => copies.push(Copy {
                first: first.key,
                key: content.key,
                bytes: content.bytes,
                pixels: content.pixels,
            }),
            _ => {
                current = Some(content);
                firsts.push(First(content))
            }
        };
        pushed.map_err(DuplicatesError::Scratch)?;
    }
    Ok(())
}

/// Step 3: writes the firsts to `settled`, in their order, each with its representative.
fn settle(
    firsts: Sorted<First>,
    settings: &Settings,
    settled: &mut Spool<First>,
) -> DuplicatesResult<()> {
    let mut representatives = Representatives::new(
        settings.max_distance,
        settings.orientation,
        settings.threads,
    );
    let mut restored: Vec<Candidate> = Vec::new();
    let mut together: Vec<Content> = Vec::with_capacity(TOGETHER);
    for first in firsts {
        let First(content) = first.map_err(DuplicatesError::Scratch)?;
        if content.is_settled {
            // Earlier batches come before all others.
            if content.is_comparable && content.group == content.key {
                restored.push(candidate(&content));
            }
            settled
                .push(&First(content))
                .map_err(DuplicatesError::Scratch)?;
            continue;
        }
        if !restored.is_empty() {
            representatives.restore(&std::mem::take(&mut restored));
        }
        together.push(content);
        if together.len() == TOGETHER {
            settle_together(&mut together, &mut representatives, settled)?;
        }
    }
    settle_together(&mut together, &mut representatives, settled)
}

fn settle_together(
    together: &mut Vec<Content>,
    representatives: &mut Representatives,
    settled: &mut Spool<First>,
) -> DuplicatesResult<()> {
    let comparable = together.iter().filter(|content| content.is_comparable);
    let candidates: Vec<Candidate> = comparable.map(candidate).collect();
    let mut groups = representatives.assign(&candidates).into_iter();
    for mut content in together.drain(..) {
        if content.is_comparable
            && let Some(group) = groups.next()
        {
            content.group = group;
        }
        content.is_settled = true;
        settled
            .push(&First(content))
            .map_err(DuplicatesError::Scratch)?;
    }
    Ok(())
}

const fn candidate(content: &Content) -> Candidate {
    Candidate {
        key: content.key,
        phash: content.phash,
    }
}

/// Step 4: says for every row that is not alone what it belongs to.
struct Grouping<'a> {
    /// Position of the batch whose rows are marked; rows of earlier ones are not.
    this_batch: u32,
    marks: &'a mut Sorter<Marked>,
    members: &'a mut Sorter<Member>,
}

impl Grouping<'_> {
    /// Both sorted by the first row of a content.
    fn run(
        &mut self,
        firsts: SpoolReader<First, std::fs::File>,
        copies: Sorted<Copy>,
    ) -> DuplicatesResult<()> {
        let mut copies = copies.peekable();
        for first in firsts {
            let First(first) = first.map_err(DuplicatesError::Scratch)?;
            let group = first.group;
            let is_new = first.key.batch() == self.this_batch;
            if group != first.key && is_new {
                self.mark(group, Mark::InGroup(group))?;
                self.mark(first.key, Mark::NearDuplicateOf(group))?;
                self.member(group, first.key, false, (first.bytes, first.pixels))?;
            }
            let mut has_copies = false;
            while let Some(copy) = copies.next_if(|copy| is_of(copy, first.key)) {
                let copy = copy.map_err(DuplicatesError::Scratch)?;
                if !has_copies {
                    self.mark(group, Mark::InGroup(group))?;
                    self.mark(first.key, Mark::InGroup(group))?;
                    has_copies = true;
                }
                self.mark(copy.key, Mark::ExactDuplicateOf(first.key))?;
                self.mark(copy.key, Mark::InGroup(group))?;
                self.member(group, copy.key, true, (copy.bytes, copy.pixels))?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, key: Key, mark: Mark) -> DuplicatesResult<()> {
        if key.batch() != self.this_batch {
            return Ok(());
        }
        let pushed = self.marks.push(Marked { key, mark });
        pushed.map_err(DuplicatesError::Scratch)
    }

    fn member(
        &mut self,
        group: Key,
        key: Key,
        is_exact: bool,
        (bytes, pixels): (u64, u64),
    ) -> DuplicatesResult<()> {
        let pushed = self.members.push(Member {
            group,
            key,
            is_exact,
            bytes,
            pixels,
        });
        pushed.map_err(DuplicatesError::Scratch)
    }
}

/// A copy of the content whose first row is `first`; a record that cannot be read is handed on, so that its error is.
fn is_of(copy: &io::Result<Copy>, first: Key) -> bool {
    copy.as_ref().map_or(true, |copy| copy.first == first)
}
