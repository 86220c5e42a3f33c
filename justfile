# What is done often. `just` alone lists it.

default:
    @just --list

# Build and make the three hosts of the quickstart.
quickstart *ARGS:
    sh scripts/quickstart.sh {{ARGS}}

# All tests, the lab on real hosts included.
test *ARGS:
    sh scripts/test.sh {{ARGS}}

# As `test`, with every point at which something is cut off, all of a virtual machine's life, and new cases of properties.
lab-full *ARGS:
    MACHINE_LAB=required MACHINE_CRASH=full MACHINE_PROPERTIES=fresh sh scripts/test.sh {{ARGS}}

# Only what needs neither root nor other programs.
quick:
    cargo test --locked --lib --test it

# Form and lints, as CI has them.
check:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings

# The types of everything, for macOS: no Mac is needed, and nothing is linked.
check-macos:
    sh scripts/check-macos.sh

# The figures of the README, in one run.
# Names take only those parts: `just bench plans far`.
bench *PARTS:
    sh scripts/setup.sh tests
    cargo bench --locked --bench figures -- {{PARTS}}

# Bring generated files up to date: the schema, the snapshots of what people read.
regenerate:
    UPDATE_SCHEMA=1 cargo test --locked --test it -- fleets:: schema
    INSTA_UPDATE=always cargo test --locked --lib --test it

# One reader under libFuzzer, as `just fuzz fleet`; needs cargo-fuzz and a nightly toolchain.
fuzz TARGET SECONDS="300":
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}} -max_len=4096 -timeout=20
