//! The suite that every cloud must pass.
