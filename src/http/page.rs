//! Pages of lists: which one is asked for, and what the answer says about the whole.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::http::extract::{Fields, FromParams, Params};

/// Pages beyond this cannot be asked for; larger numbers are capped, and clients count in 32 bits.
const MAX_PAGE: u32 = 10_000_000;

/// One page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Counted from 1.
    #[param(minimum = 1, default = 1, required = false)]
    pub page: u32,
    /// Entries on a page; `per_page` is an alias.
    #[param(minimum = 1, default = 20, required = false)]
    pub limit: u32,
}

impl Page {
    /// The most entries of one page.
    pub const MAX_LIMIT: u32 = 100;

    /// Entries before this page.
    pub fn offset(self) -> u64 {
        u64::from(self.page - 1) * u64::from(self.limit)
    }

    /// Reads the page of a JSON body.
    pub fn from_fields(fields: &mut Fields) -> Self {
        Self { page: fields.count("page", 1, MAX_PAGE), limit: fields.count("limit", 20, Self::MAX_LIMIT) }
    }
}

impl FromParams for Page {
    fn from_params(params: &mut Params) -> Self {
        Self {
            page: params.count(&["page"], 1, MAX_PAGE),
            limit: params.count(&["limit", "per_page"], 20, Self::MAX_LIMIT),
        }
    }
}

/// Where a page stands in its list.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Pagination {
    /// This page, from 1.
    pub page: u32,
    /// Entries on a page.
    pub limit: u32,
    /// Entries of the whole list.
    #[schema(minimum = 0)]
    pub total: u32,
    /// Pages of the whole list; 0 when it is empty.
    pub pages: u32,
    /// Absent when it is; else there are at least as many entries as `total` says.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub total_is_exact: bool,
}

impl Pagination {
    /// What page `page` of `total` entries says.
    pub fn new(page: Page, total: u64) -> Self {
        // Clients count in 32 bits, signed.
        let total = u32::try_from(total).unwrap_or(u32::MAX).min(i32::MAX as u32);
        Self { page: page.page, limit: page.limit, total, pages: total.div_ceil(page.limit), total_is_exact: true }
    }
}
