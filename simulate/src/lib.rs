//! A reproducible city: the simulator and its dirt.
