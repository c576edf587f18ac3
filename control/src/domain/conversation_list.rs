//! Reading conversation records (spec: conversation.md 2.1, sync.md 3.5, 4). Callers have checked that
//! the owner may be read.
