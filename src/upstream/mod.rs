//! The only way out to hosts that somebody else chose: names are resolved here, every address is checked, and the
//! connection goes to the very address that was checked. Redirects are not followed.

mod addresses;
mod origin;
mod rules;
mod send;

pub use addresses::Host;
pub use origin::Origin;
pub use rules::{Pattern, Refusal, Rules};
pub use send::{ConnectFault, Kept, SendFault, Sent, Upstream};
