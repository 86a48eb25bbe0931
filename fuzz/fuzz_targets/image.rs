//! A folder of images by class, one of whose images is the input; its first byte chooses the extension.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [extension, image @ ..] = input else { return };
    let (name, other) = if extension % 2 == 0 { ("a/1.png", "a/1.jpg") } else { ("a/1.jpg", "a/1.png") };
    let files = [(name, image), (other, image), ("b/1.png", image)];
    common::open_files(&files, "", "size=8,test=0.5");
});
