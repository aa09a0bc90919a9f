//! Wraps any cloud and fails, or loses the answer of, chosen calls (tests).
