//! Connections: how many may be open, what happens on each, and the timeouts of their clients.
//!
//! A client must send its headers in time, send the next request in time, and read its response faster
//! than a minimum rate. The minimum rate of request bodies is enforced in `body`. When connections are
//! full, those without a request in progress are closed to make room for new ones.

mod limiter;
mod request_body;
mod stats;
mod stream;
mod timeouts;
mod unsent;

pub use limiter::{ConnectionLimiter, ConnectionPermit};
pub use request_body::RequestBody;
pub use stats::{ConnectionStats, RequestGuard};
pub use stream::CountingStream;
pub use timeouts::Timeouts;
pub use unsent::UnsentResponses;
