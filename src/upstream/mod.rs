//! Connections to services, whose hosts somebody else chose: a name is resolved, every address is checked, and the
//! checked address is connected to (no server-side request forgery). Redirects are not followed.

mod addresses;
mod origin;
mod rules;
mod send;

pub use addresses::Host;
pub use origin::Origin;
pub use rules::{Pattern, Refusal, Rules};
pub use send::{ConnectFault, Kept, SendFault, Sent, Upstream};
