//! SQL of plugins: `plugins`, their versions, scripts, dependencies, tags, owners and counts.

mod contents;
mod counting;
mod drafts;
mod people;
mod publishing;
mod reading;
mod similar;

pub use contents::*;
pub use counting::*;
pub use drafts::*;
pub use people::*;
pub use publishing::*;
pub use reading::*;
pub use similar::*;
