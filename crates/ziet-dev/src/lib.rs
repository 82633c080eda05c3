//! What only the people who work on Ziet need. It may see every other crate; none may see it.
//!
//! For now that is the test `tidy`, which keeps the dependency law and the budgets of length.
