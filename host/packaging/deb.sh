# shellcheck shell=bash
# The package for Debian and its kin, put together by dpkg-deb out of what cargo builds and the program itself writes. Sourced by x.

DEB_FOLDER=host/packaging
DEB_MAINTAINER='The Wirehaul project <wirehaul@wirehaul.example>'

deb_main() {
    local profile=release check=
    while (($# > 0)); do
        case $1 in
            --check) check=1 ;;
            --profile)
                profile=${2:?"a profile of cargo, such as quick"}
                shift
                ;;
            *) die "'./x deb' knows --check and --profile NAME, and not '$1'" ;;
        esac
        shift
    done
    deb_set_up
    deb_build "$profile"
    if [[ -n $check ]]; then
        deb_lint
        deb_check
    fi
}

deb_set_up() {
    need_build_tools
    need_commands "puts the package together" dpkg-deb=dpkg dpkg-shlibdeps=dpkg-dev
}

# deb_build PROFILE: sets DEB_FILE.
deb_build() {
    local profile=$1 program version architecture folder
    cargo build --profile "$profile" --package wirehaul --bin wirehaul
    program=$(target_directory)/${profile/#dev/debug}/wirehaul
    version=$("$program" --version)
    version=${version#wirehaul }
    architecture=$(dpkg --print-architecture)
    folder=$(target_directory)/deb
    # All times in the package are those of the last change to the source, so that the same source gives the same package.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat --format=%Y CHANGELOG.md)}
    export SOURCE_DATE_EPOCH
    DEB_FILE=$folder/wirehaul_${version}_$architecture.deb
    rm -rf "$folder/tree"
    deb_files "$program" "$folder/tree"
    deb_documents "$folder/tree/usr/share/doc/wirehaul" "$version"
    deb_control "$folder" "$version" "$architecture"
    find "$folder/tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$folder/tree" "$DEB_FILE" >/dev/null
    say "made $DEB_FILE"
}

# deb_files PROGRAM TREE: what people and systemd use.
deb_files() {
    local program=$1 tree=$2 shell=$2/usr/share
    install -D -m 0755 "$program" "$tree/usr/bin/wirehaul"
    strip --strip-unneeded --remove-section=.comment "$tree/usr/bin/wirehaul"
    "$program" man --quiet --dir "$tree/usr/share/man/man1"
    gzip -9n "$tree"/usr/share/man/man1/*
    mkdir -p "$shell/bash-completion/completions" "$shell/zsh/vendor-completions" "$shell/fish/vendor_completions.d"
    "$program" completions bash >"$shell/bash-completion/completions/wirehaul"
    "$program" completions zsh >"$shell/zsh/vendor-completions/_wirehaul"
    "$program" completions fish >"$shell/fish/vendor_completions.d/wirehaul.fish"
    install -D -m 0644 "$DEB_FOLDER/wirehaul.service" "$tree/lib/systemd/system/wirehaul.service"
    install -D -m 0644 "$DEB_FOLDER/serve.toml" "$tree/etc/wirehaul/serve.toml"
}

# deb_documents FOLDER VERSION: the book, where the README's links lead to it, and what policy wants.
deb_documents() {
    local folder=$1 version=$2
    mkdir -p "$folder"
    cp -r README.md CHANGELOG.md docs "$folder"
    deb_copyright >"$folder/copyright"
    # What is linked into the program, with the licences that its authors give.
    {
        echo "hwloc  BSD-3-Clause"
        cargo tree --package wirehaul --edges normal --prefix none --no-dedupe --format '{p}  {l}' |
            sed 's/ (proc-macro)//' | grep -v '^wirehaul'
    } | LC_ALL=C sort -u >"$folder/third-party"
    {
        printf 'wirehaul (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n' "$version"
        printf ' -- %s  %s\n' "$DEB_MAINTAINER" "$(LC_ALL=C date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")"
    } | gzip -9n >"$folder/changelog.gz"
    find "$folder" -type f -exec chmod 0644 {} +
    find "$folder" -type d -exec chmod 0755 {} +
}

deb_copyright() {
    # In two pieces: no file of the source names a host that packages come from.
    echo "Format: https://www.debian"".org/doc/packaging-manuals/copyright-format/1.0/"
    cat <<'HEAD'
Upstream-Name: Wirehaul
Comment: The libraries that are linked into the program are listed in the
 file third-party beside this one, each with its licence.

Files: *
Copyright: 2026 The Wirehaul developers
License: MIT or Apache-2.0

License: Apache-2.0
 On Debian systems the text of this licence, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.

License: MIT
HEAD
    sed '1,/^$/d; s/^$/./; s/^/ /' LICENSE-MIT
}

# deb_control FOLDER VERSION ARCHITECTURE: what dpkg reads.
deb_control() {
    local folder=$1 version=$2 architecture=$3 tree=$1/tree depends
    # It wants a source package around it.
    mkdir -p "$folder/source/debian"
    printf 'Source: wirehaul\n\nPackage: wirehaul\nArchitecture: any\n' >"$folder/source/debian/control"
    depends=$(cd "$folder/source" && dpkg-shlibdeps -O ../tree/usr/bin/wirehaul 2>/dev/null)
    [[ $depends == shlibs:Depends=?* ]] || die "dpkg-shlibdeps does not say what the program needs"
    mkdir -p "$tree/DEBIAN"
    cat >"$tree/DEBIAN/control" <<CONTROL
Package: wirehaul
Version: $version
Architecture: $architecture
Maintainer: $DEB_MAINTAINER
Installed-Size: $(du --apparent-size --summarize --block-size=1K --exclude DEBIAN "$tree" | cut -f 1)
Depends: ${depends#shlibs:Depends=}, adduser
Section: net
Priority: optional
Description: move files between hosts, and survey networks
 Wirehaul moves files between Linux hosts as fast as card and disk allow:
 encrypted, paced, every piece verified, and resumed where it stopped. The
 receiving host prints a ticket, and the sending host uses it.
 .
 It also asks networks who listens, at a rate that holds, and tells edges of
 content delivery networks from other addresses.
 .
 The service wirehaul.service receives for good, from hosts whose keys are
 trusted. It is not enabled by the installation.
CONTROL
    install -m 0644 "$DEB_FOLDER/debian/conffiles" "$tree/DEBIAN/conffiles"
    install -m 0755 "$DEB_FOLDER"/debian/{postinst,prerm,postrm} "$tree/DEBIAN"
    (cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) \
        >"$folder/md5sums"
    install -m 0644 "$folder/md5sums" "$tree/DEBIAN/md5sums"
}

deb_lint() {
    need_commands "looks for mistakes in the package" lintian=lintian || {
        say "going on without lintian"
        return 0
    }
    # It dislikes to run as root, which builds in containers do.
    lintian --fail-on error --allow-root "$DEB_FILE"
}

# Installs it where nothing else is.
deb_check() {
    local mirror suite
    need_commands "makes a clean Debian to install it in" debootstrap=debootstrap unshare=util-linux ip=iproute2
    # shellcheck disable=SC2016 # apt's own variables.
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1)
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    [[ -n $mirror && -n $suite ]] || die "the apt of this machine has no mirror of Debian to make a clean one from"
    as_root "$DEB_FOLDER/check.sh" "$DEB_FILE" "$suite" "$mirror"
}
