fn main() { print!("{}", batchwise_nn::audit::Table::run()); }
