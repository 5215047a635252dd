fn main() { for c in bailiwick::api::crds::all() { println!("---\n{}", bailiwick::api::crds::to_yaml(&c).unwrap()); } }
