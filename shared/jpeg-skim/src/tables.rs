//! Quantization and Huffman tables (T.81, B.2.4.1 and B.2.4.2), which may be redefined between scans.

use std::rc::Rc;

use crate::error::{Declined, Error, Flaw};
use crate::huffman::HuffmanCode;

/// Quantization steps in zigzag order.
pub(crate) type Quantization = [u16; 64];

/// The tables in force.
#[derive(Default)]
pub(crate) struct Tables {
    quantization: [Option<Rc<Quantization>>; 4],
    dc: [Option<HuffmanCode>; 4],
    ac: [Option<HuffmanCode>; 4],
}

impl Tables {
    pub(crate) fn quantization(&self, slot: u8) -> Result<Rc<Quantization>, Declined> {
        let table = self
            .quantization
            .get(usize::from(slot))
            .and_then(Option::as_ref);
        table.cloned().ok_or(Declined::MissingTables)
    }

    pub(crate) fn dc(&self, slot: u8) -> Result<&HuffmanCode, Declined> {
        self.dc
            .get(usize::from(slot))
            .and_then(Option::as_ref)
            .ok_or(Declined::MissingTables)
    }

    pub(crate) fn ac(&self, slot: u8) -> Result<&HuffmanCode, Declined> {
        self.ac
            .get(usize::from(slot))
            .and_then(Option::as_ref)
            .ok_or(Declined::MissingTables)
    }

    /// Takes in a DQT segment.
    pub(crate) fn define_quantization(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        while let [kind, rest @ ..] = payload {
            let slot = self
                .quantization
                .get_mut(usize::from(kind & 15))
                .ok_or(Flaw::Segment)?;
            let mut steps = [0; 64];
            payload = match kind >> 4 {
                0 => {
                    let (bytes, rest) = rest.split_first_chunk::<64>().ok_or(Flaw::Segment)?;
                    steps = bytes.map(u16::from);
                    rest
                }
                1 => {
                    let (bytes, rest) = rest.split_first_chunk::<128>().ok_or(Flaw::Segment)?;
                    for (step, &pair) in steps.iter_mut().zip(bytes.as_chunks().0) {
                        *step = u16::from_be_bytes(pair);
                    }
                    rest
                }
                _ => return Err(Flaw::Segment.into()),
            };
            *slot = Some(Rc::new(steps));
        }
        Ok(())
    }

    /// Takes in a DHT segment.
    pub(crate) fn define_huffman(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        while let [kind, rest @ ..] = payload {
            let class = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(Flaw::Segment.into()),
            };
            let slot = class.get_mut(usize::from(kind & 15)).ok_or(Flaw::Segment)?;
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(Flaw::Segment)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(Flaw::Segment)?;
            *slot = Some(HuffmanCode::new(counts, symbols)?);
            payload = rest;
        }
        Ok(())
    }
}
