/**
 * The version of the contract that engines in C know (`wombatkv.h`). A program may ask for it to
 * decide what it can rely on; 1.0 is the fifteen functions of the Rust WombatKV.
 */
export const ABI_MAJOR = 1;
export const ABI_MINOR = 1;
