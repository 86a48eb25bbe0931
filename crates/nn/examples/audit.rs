fn main() {
    println!("{}", batchwise_nn::audit::Table::run());
}
