use super::*;

const SUITES: [Suite; 3] = [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::ChaCha20Poly1305];
const HEADER: &[u8] = b"outer header";

fn key(suite: Suite) -> DataKey {
    DataKey::new(suite, &[7; MAX_KEY_BYTES], [9; NONCE_BYTES]).unwrap()
}

fn sealed(suite: Suite, packet_number: u64, text: &[u8]) -> Vec<u8> {
    let mut buf = [text, &[0; TAG_BYTES]].concat();
    key(suite).seal_in_place(packet_number, HEADER, &mut buf);
    buf
}

#[test]
fn what_was_sealed_opens() {
    for suite in SUITES {
        for bytes in [0, 1, 15, 16, 17, 1428, 9000] {
            let text: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
            let mut buf = sealed(suite, u64::MAX - 3, &text);
            assert!(bytes < 15 || buf[..bytes] != text[..], "{suite:?} left the text readable");
            assert_eq!(key(suite).open_in_place(u64::MAX - 3, HEADER, &mut buf), Ok(bytes));
            assert_eq!(buf[..bytes], text[..]);
        }
    }
}

#[test]
fn any_changed_bit_is_refused() {
    for suite in SUITES {
        let genuine = sealed(suite, 5, b"sixteen byte msg, and a few more");
        for bit in 0..genuine.len() * 8 {
            let mut forged = genuine.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(suite).open_in_place(5, HEADER, &mut forged), Err(Forged), "{suite:?} bit {bit}");
        }
    }
}

#[test]
fn associated_data_and_packet_number_are_authenticated() {
    for suite in SUITES {
        let genuine = sealed(suite, 5, b"text");
        for bit in 0..HEADER.len() * 8 {
            let mut header = HEADER.to_vec();
            header[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(suite).open_in_place(5, &header, &mut genuine.clone()), Err(Forged));
        }
        assert_eq!(key(suite).open_in_place(5, &HEADER[1..], &mut genuine.clone()), Err(Forged));
        for bit in 0..64 {
            let number = 5 ^ (1 << bit);
            assert_eq!(key(suite).open_in_place(number, HEADER, &mut genuine.clone()), Err(Forged));
        }
    }
}

#[test]
fn too_short_a_packet_is_refused_and_not_a_panic() {
    for suite in SUITES {
        for bytes in 0..TAG_BYTES {
            assert_eq!(key(suite).open_in_place(0, HEADER, &mut vec![0; bytes]), Err(Forged));
            key(suite).seal_in_place(0, HEADER, &mut vec![0; bytes]);
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn tag_of(suite: Suite, key: &str, nonce: &str, associated: &[u8], text: &[u8]) -> Vec<u8> {
    let mut secret = [0; MAX_KEY_BYTES];
    secret[..key_bytes(suite)].copy_from_slice(&hex(key));
    let mut buf = [text, &[0; TAG_BYTES]].concat();
    CipherKey::new(suite, &secret).unwrap().seal(hex(nonce).try_into().unwrap(), associated, &mut buf);
    buf[text.len()..].to_vec()
}

/// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 4 and 16; RFC 8439, section 2.8.2.
#[test]
fn published_vectors_come_out() {
    let text = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
                    b16aedf5aa0de657ba637b39");
    let associated = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let (key, iv) = ("feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888");
    let short = tag_of(Suite::Aes128Gcm, key, iv, &associated, &text);
    assert_eq!(short, hex("5bc94fbc3221a5db94fae95ae7121a47"));
    let long = tag_of(Suite::Aes256Gcm, &key.repeat(2), iv, &associated, &text);
    assert_eq!(long, hex("76fc6ece0f4e1768cddf8853bb2d551b"));

    let text =
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen \
                 would be it.";
    let key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
    let associated = hex("50515253c0c1c2c3c4c5c6c7");
    let tag = tag_of(Suite::ChaCha20Poly1305, key, "070000004041424344454647", &associated, text);
    assert_eq!(tag, hex("1ae10b594f09e26a7e902ecbd0600691"));
}

#[cfg(feature = "aws-lc")]
#[test]
fn both_implementations_agree_bit_for_bit() {
    let nonce = *b"twelve bytes";
    for suite in SUITES {
        let ours = CipherKey::new(suite, &[3; MAX_KEY_BYTES]).unwrap();
        let oracle = portable::CipherKey::new(suite, &[3; MAX_KEY_BYTES]).unwrap();
        for bytes in [0, 1, 16, 255, 1428] {
            let mut one = vec![0x5a; bytes + TAG_BYTES];
            let mut two = one.clone();
            ours.seal(nonce, HEADER, &mut one);
            oracle.seal(nonce, HEADER, &mut two);
            assert_eq!(one, two, "{suite:?} {bytes} bytes");
            assert_eq!(oracle.open(nonce, HEADER, &mut one), Ok(bytes));
            assert_eq!(ours.open(nonce, HEADER, &mut two), Ok(bytes));
        }
    }
}

#[test]
fn the_nonce_is_the_iv_xor_the_packet_number() {
    let key = DataKey::new(Suite::Aes128Gcm, &[0; MAX_KEY_BYTES], [0xff; NONCE_BYTES]).unwrap();
    let nonce = key.nonce(0x0102_0304_0506_0708);
    assert_eq!(nonce, [0xff, 0xff, 0xff, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8, 0xf7]);
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", key(Suite::Aes128Gcm)), "DataKey(secret)");
}
