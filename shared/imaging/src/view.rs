//! Reading numbers out of untrusted bytes: every read says whether the bytes are there.

/// Why a header could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes end before `needed`, counted from the start of the file.
    Short { needed: u64 },
    /// The bytes contradict the format.
    Bad(&'static str),
}

/// What reading a header gives.
pub(crate) type Parsed<T> = Result<T, Fault>;

/// Untrusted bytes, read by offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a>(pub(crate) &'a [u8]);

impl<'a> View<'a> {
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    pub(crate) fn slice(self, at: usize, length: usize) -> Parsed<&'a [u8]> {
        at.checked_add(length)
            .and_then(|end| self.0.get(at..end))
            .ok_or(Fault::Short {
                needed: (at as u64).saturating_add(length as u64),
            })
    }

    fn array<const N: usize>(self, at: usize) -> Parsed<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(at, N)?);
        Ok(array)
    }

    pub(crate) fn u8(self, at: usize) -> Parsed<u8> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    pub(crate) fn be16(self, at: usize) -> Parsed<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(crate) fn be32(self, at: usize) -> Parsed<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(crate) fn be64(self, at: usize) -> Parsed<u64> {
        self.array(at).map(u64::from_be_bytes)
    }

    pub(crate) fn le16(self, at: usize) -> Parsed<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(crate) fn le24(self, at: usize) -> Parsed<u32> {
        let [low, middle, high] = self.array(at)?;
        Ok(u32::from_le_bytes([low, middle, high, 0]))
    }

    pub(crate) fn le32(self, at: usize) -> Parsed<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(crate) fn le64(self, at: usize) -> Parsed<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
}
