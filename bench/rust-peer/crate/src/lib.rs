//! The C functions of the Rust WombatKV in a shared library that carries no soname.

pub use wombatkv::*;
