//! SQL of plugins: `plugins`, their versions, scripts, dependencies, tags, owners and counts.

mod counting;
mod publishing;
mod reading;

pub use counting::*;
pub use publishing::*;
pub use reading::*;
