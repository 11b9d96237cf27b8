//! What `object_store` uses of the crate `crc-fast`, over the crate `crc`: one checksum, which uploads carry where that is configured.
//!
//! The crate itself has tables for every checksum there is and chooses among them as it runs, so that none of them can be left out of
//! a program: 0.7 MB in every function (`docs/decisions/0020-what-is-asked-seldom-is-small.md`).

use crc::{CRC_64_NVME, Crc, Table};

static NVME: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_NVME);

/// The checksums there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// CRC-64/NVME (NVM Express command set specification), which S3 calls CRC64NVME.
    Crc64Nvme,
}

/// A checksum under way.
pub struct Digest(crc::Digest<'static, u64, Table<16>>);

impl Digest {
    /// The checksum of nothing yet.
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        match algorithm {
            CrcAlgorithm::Crc64Nvme => Self(NVME.digest()),
        }
    }

    /// Takes further bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all of them.
    pub fn finalize(self) -> u64 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_catalogue() {
        // "check" of CRC-64/NVME, https://reveng.sourceforge.io/crc-catalogue/all.htm
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        digest.update(b"12345");
        digest.update(b"6789");
        assert_eq!(digest.finalize(), 0xae8b_1486_0a79_9888);
    }
}
