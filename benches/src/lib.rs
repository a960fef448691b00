//! Benches of Postroad: criterion for the hot path, and the end-to-end ratio.
