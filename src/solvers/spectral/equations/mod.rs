pub mod written;
