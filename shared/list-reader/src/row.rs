//! One row, lent by the reader until the next one is asked for.

use std::ops::Range;

use crate::RowFault;

/// A row of the list. Borrows the reader's buffers: copy what must outlive the next call.
#[derive(Debug)]
pub struct ListRow<'a> {
    /// Line of the decompressed text the row starts on, from 1.
    pub line: u64,
    /// The URL cell without surrounding white space, never empty; or why there is none.
    pub cell: Result<&'a str, RowFault>,
    /// Every column but the URL column, in list order.
    pub extra: Extra<'a>,
}

/// The carried columns of a row: name and text. Text is as the list has it, not trimmed; a JSON string is carried unescaped, any
/// other JSON value as its JSON text, and `null` is left out like an absent key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extra<'a> {
    text: &'a str,
    cells: Cells<'a>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Cells<'a> {
    #[default]
    None,
    /// A name per column; the URL column is passed over.
    Columns {
        names: &'a [String],
        cells: &'a [Range<usize>],
        url: usize,
    },
    /// Names are in the text too.
    Pairs {
        pairs: &'a [Pair],
        url: Option<usize>,
    },
}

/// Where name and text of a JSON value are in the text of its row.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) name: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// Stands for a cell that cannot be carried: no text has this position.
pub(crate) const UNREADABLE: Range<usize> = usize::MAX..usize::MAX;

impl<'a> Extra<'a> {
    pub(crate) const fn columns(
        text: &'a str,
        names: &'a [String],
        cells: &'a [Range<usize>],
        url: usize,
    ) -> Self {
        let cells = Cells::Columns { names, cells, url };
        Self { text, cells }
    }

    pub(crate) const fn pairs(text: &'a str, pairs: &'a [Pair], url: Option<usize>) -> Self {
        let cells = Cells::Pairs { pairs, url };
        Self { text, cells }
    }

    /// Names and texts, in list order. Names of a table are unique; those of a JSON object are as unique as its keys.
    pub const fn iter(&self) -> ExtraIter<'a> {
        ExtraIter {
            extra: *self,
            next: 0,
        }
    }

    /// Whether no column is carried.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<'a> IntoIterator for Extra<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = ExtraIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &Extra<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = ExtraIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterates over the carried columns of a row.
#[derive(Debug, Clone)]
pub struct ExtraIter<'a> {
    extra: Extra<'a>,
    next: usize,
}

impl<'a> Iterator for ExtraIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.extra.text;
        loop {
            let index = self.next;
            self.next += 1;
            match self.extra.cells {
                Cells::None => return None,
                Cells::Columns { names, cells, url } => {
                    let cell = cells.get(index)?.clone();
                    let name = names.get(index)?;
                    if index != url
                        && let Some(value) = text.get(cell)
                    {
                        return Some((name, value));
                    }
                }
                Cells::Pairs { pairs, url } => {
                    let Pair { name, value } = pairs.get(index)?.clone();
                    if Some(index) != url
                        && let (Some(name), Some(value)) = (text.get(name), text.get(value))
                    {
                        return Some((name, value));
                    }
                }
            }
        }
    }
}
