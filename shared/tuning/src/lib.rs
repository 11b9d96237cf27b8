//! Knobs that follow measurement (source C9 of the product's requirements).
//!
//! Whoever owns a [`Tuner`] measures a window of work at the present settings, hands the rate in, and sets what it is told. The tuner climbs:
//! it moves one knob at a time by a factor, keeps the move if two windows in a row are better by more than noise, and takes it back otherwise. Factors begin
//! large, so that it gets away from bad starting values, and shrink, so that it ends close to the best. Then it holds still until the rate
//! has fallen for good: a tuner that plays with its knobs for ever costs more than it finds.

//!
//! Where one knob decides one figure, there is nothing to climb: [`Band`] sets it so that the figure stays within bounds.

mod band;
mod knob;
mod tuner;

pub use band::Band;
pub use knob::{Knob, KnobName};
pub use tuner::{Change, Patience, Tuner};
