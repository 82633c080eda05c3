//! Lists: every one comes in pages of the same shape.

use serde::Serialize;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    pub(crate) pagination: Pagination,
}

/// Where a page stands in its list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pagination {
    /// The most that the page might have held. It may hold fewer, even none, although there are more: a request looks
    /// only at so much.
    #[schema(minimum = 1, maximum = 100)]
    pub(crate) limit: usize,
    pub(crate) has_more: bool,
    /// Gives the next page; null when there is none.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Of items of which one more than `limit` was looked for, to know whether there are more; `place` is that of one.
    pub(crate) fn cut<P: ToString>(
        items: impl Iterator<Item = T>,
        limit: usize,
        place: impl Fn(&T) -> P,
    ) -> Self {
        let mut data: Vec<T> = items.take(limit + 1).collect();
        let more = data.len() > limit;
        data.truncate(limit);
        let next = data.last().filter(|_| more).map(place);
        Self::new(data, limit, next)
    }

    pub(crate) fn new(data: Vec<T>, limit: usize, next: Option<impl ToString>) -> Self {
        let pagination = Pagination {
            limit,
            has_more: next.is_some(),
            next_cursor: next.map(|next| next.to_string()),
        };
        Self { data, pagination }
    }
}
