//! What the list reader promises, one file a topic.

#[cfg(test)]
mod columns;
#[cfg(test)]
mod compression;
#[cfg(test)]
mod encoding;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod quotes;
#[cfg(test)]
mod support;
