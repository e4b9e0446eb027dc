//! SQL of accounts: `users`, `sessions` and `api_tokens`.

mod sessions;
mod tokens;
mod users;

pub use sessions::*;
pub use tokens::*;
pub use users::*;
