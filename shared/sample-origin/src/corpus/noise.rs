//! Value noise on a lattice that doubles octave by octave: every octave costs one pass over its own, smaller grid.

use fastrand::Rng;

/// Longest stretch of the noise table that is used in one piece.
const STRETCH: usize = 256;
const TABLE_LENGTH: usize = 8192;
/// An octave loop stops when no side of the lattice is longer than this.
const COARSEST_SIDE: usize = 7;
/// The finest octaves, whose strength differs from place to place: skies are smooth, foliage is not.
const LOCAL_OCTAVES: usize = 3;
/// Side, in pixels of the finished grid, of the squares that share one strength.
const LOCAL_SIDE: usize = 16;

/// Numbers in −1..1, drawn once: copying them from random places is several times cheaper than drawing one per pixel.
pub(super) struct NoiseTable(Vec<f32>);

impl NoiseTable {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut table = Vec::with_capacity(TABLE_LENGTH);
        for _ in 0..TABLE_LENGTH {
            // The sum of two uniform draws is near enough to the bell shape of sensor noise.
            table.push(rng.f32() + rng.f32() - 1.0);
        }
        Self(table)
    }

    fn stretch(&self, length: usize, rng: &mut Rng) -> &[f32] {
        let start = rng.usize(0..TABLE_LENGTH - STRETCH);
        &self.0[start..start + length]
    }

    /// Adds noise of `strength` to every value.
    pub(super) fn add_to(&self, values: &mut [f32], strength: f32, rng: &mut Rng) {
        for chunk in values.chunks_mut(STRETCH) {
            let stretch = self.stretch(chunk.len(), rng);
            for (value, noise) in chunk.iter_mut().zip(stretch) {
                *value += strength * noise;
            }
        }
    }
}

/// How an octave sum looks.
pub(super) struct Octaves {
    /// Mean of the values.
    pub(super) mean: f32,
    /// Standard deviation of the coarse structure.
    pub(super) deviation: f32,
    /// Strength of an octave over the next coarser one's, 0..1.
    pub(super) persistence: f32,
    /// Whether the finest octaves are stronger in some places than in others.
    pub(super) local: bool,
}

/// A plane of values, row by row.
pub(super) struct Grid {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f32>,
}

impl Grid {
    /// Sums octaves of noise, from the coarsest lattice to one value per pixel.
    pub(super) fn fractal(
        width: usize,
        height: usize,
        octaves: &Octaves,
        table: &NoiseTable,
        rng: &mut Rng,
    ) -> Self {
        let mut sizes = vec![(width, height)];
        let (mut columns, mut rows) = (width, height);
        while columns.max(rows) > COARSEST_SIDE {
            // Two more than half: the spline reads one neighbour beyond the edge.
            (columns, rows) = (columns.div_ceil(2) + 2, rows.div_ceil(2) + 2);
            sizes.push((columns, rows));
        }

        let strengths = if octaves.local {
            Some(LocalStrength::new(width, height, table, rng))
        } else {
            None
        };
        let mut grid = Self {
            width: columns,
            height: rows,
            values: vec![0.0; columns * rows],
        };
        let mut strength = 1.0;
        table.add_to(&mut grid.values, strength, rng);
        let coarse_octaves = sizes.len().saturating_sub(LOCAL_OCTAVES).max(1);
        for (done, &(columns, rows)) in sizes.iter().rev().skip(1).enumerate() {
            strength *= octaves.persistence;
            grid = grid.enlarged(columns, rows);
            let doublings_left = sizes.len() - 2 - done;
            if done + 1 == coarse_octaves {
                strength *= grid.normalise(octaves.mean, octaves.deviation);
            }
            match &strengths {
                Some(local) if doublings_left < LOCAL_OCTAVES => {
                    local.add_noise(
                        &mut grid,
                        strength,
                        LOCAL_SIDE >> doublings_left,
                        table,
                        rng,
                    );
                }
                _ => table.add_to(&mut grid.values, strength, rng),
            }
        }
        if sizes.len() <= coarse_octaves {
            grid.normalise(octaves.mean, octaves.deviation);
        }
        grid
    }

    /// Twice the size, cut to `width` × `height`, along a quadratic spline (weights ¾ and ¼): no lattice shows through.
    pub(super) fn enlarged(&self, width: usize, height: usize) -> Self {
        let mut wide = Vec::with_capacity(width * self.height);
        for row in self.values.chunks_exact(self.width) {
            let start = wide.len();
            for pair in row.windows(2) {
                wide.push(0.75 * pair[0] + 0.25 * pair[1]);
                wide.push(0.25 * pair[0] + 0.75 * pair[1]);
            }
            wide.truncate(start + width);
        }
        let mut values = Vec::with_capacity(width * height);
        for row in 0..height {
            let upper = &wide[row / 2 * width..][..width];
            let lower = &wide[(row / 2 + 1) * width..][..width];
            let share = if row % 2 == 0 { 0.75 } else { 0.25 };
            values.extend(
                upper
                    .iter()
                    .zip(lower)
                    .map(|(above, below)| share * above + (1.0 - share) * below),
            );
        }
        Self {
            width,
            height,
            values,
        }
    }

    /// Shifts and scales the values to a mean and deviation; returns the scale.
    fn normalise(&mut self, mean: f32, deviation: f32) -> f32 {
        let count = self.values.len() as f32;
        let found_mean = self.values.iter().sum::<f32>() / count;
        let variance = self
            .values
            .iter()
            .map(|value| (value - found_mean) * (value - found_mean))
            .sum::<f32>()
            / count;
        let scale = deviation / variance.sqrt().max(0.05);
        for value in &mut self.values {
            *value = (*value - found_mean) * scale + mean;
        }
        scale
    }
}

/// How strong the finest octaves are in each square of [`LOCAL_SIDE`] pixels.
struct LocalStrength(Grid);

impl LocalStrength {
    fn new(width: usize, height: usize, table: &NoiseTable, rng: &mut Rng) -> Self {
        let octaves = Octaves {
            mean: 0.9,
            deviation: 0.7,
            persistence: 0.5,
            local: false,
        };
        let (columns, rows) = (width.div_ceil(LOCAL_SIDE), height.div_ceil(LOCAL_SIDE));
        let mut grid = Grid::fractal(columns, rows, &octaves, table, rng);
        for value in &mut grid.values {
            *value = value.clamp(0.06, 2.0);
        }
        Self(grid)
    }

    fn add_noise(
        &self,
        target: &mut Grid,
        strength: f32,
        side: usize,
        table: &NoiseTable,
        rng: &mut Rng,
    ) {
        for (y, row) in target.values.chunks_exact_mut(target.width).enumerate() {
            let strengths =
                &self.0.values[(y / side).min(self.0.height - 1) * self.0.width..][..self.0.width];
            for (start, stretch) in row.chunks_mut(STRETCH).enumerate() {
                let noise = table.stretch(stretch.len(), rng);
                for (square, (values, noises)) in
                    stretch.chunks_mut(side).zip(noise.chunks(side)).enumerate()
                {
                    let column = start * STRETCH / side + square;
                    let here = strength * strengths[column.min(self.0.width - 1)];
                    for (value, noise) in values.iter_mut().zip(noises) {
                        *value += here * noise;
                    }
                }
            }
        }
    }
}
