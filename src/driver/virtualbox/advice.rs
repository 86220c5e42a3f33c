//! What a person can do about what VirtualBox complains of.

/// A text of VirtualBox's, and what to do about it. The first that fits is given.
const ADVICE: &[(&str, &str)] = &[
    (
        "EnableStaticIPConfig",
        "VirtualBox allows host-only networks only inside 192.168.56.0/21. Give `hostonly-cidr` an address in there, \
         as `192.168.60.1/24`, or allow the other network, as administrator:\n  \
         echo '* 0.0.0.0/0' >> /etc/vbox/networks.conf",
    ),
    ("/dev/vboxnetctl", "load VirtualBox's module for host-only networks, as administrator:\n  modprobe vboxnetadp"),
    ("Kernel driver not installed", KERNEL),
    ("/dev/vboxdrv", KERNEL),
    ("VERR_VM_DRIVER_NOT_INSTALLED", KERNEL),
    ("VERR_VMX_NO_VMX", VIRTUALIZATION),
    ("VERR_SVM_NO_SVM", VIRTUALIZATION),
    ("VERR_SVM_DISABLED", VIRTUALIZATION),
    ("VERR_VMX_MSR_", VIRTUALIZATION),
    ("VT-x is", VIRTUALIZATION),
    ("AMD-V is", VIRTUALIZATION),
    (
        "VERR_VMX_IN_VMX_ROOT_MODE",
        "another hypervisor has the processor (KVM, Hyper-V): stop its VMs; on Linux, as administrator:\n  \
         modprobe -r kvm_intel kvm_amd",
    ),
    ("VERR_SVM_IN_USE", "another hypervisor has the processor: stop its VMs, or unload its kernel module"),
    ("VERR_NO_MEMORY", MEMORY),
    ("VERR_EM_NO_MEMORY", MEMORY),
    ("Invalid RAM size", "give `memory` an amount that VirtualBox takes, as `1GiB`"),
    ("Invalid virtual CPU count", "give `cpu-count` a number that VirtualBox takes; -1 is all there are"),
    ("Invalid NIC type", "choose a kind of network card: 82540EM, virtio, Am79C973, Am79C970A, 82543GC, 82545EM"),
    ("promiscuous mode policy", "choose one of deny, allow-vms, allow-all"),
    ("Shrinking is not", "a disk can only grow: give `disk-size` at least what it has, or make the machine anew"),
    ("VERR_DISK_FULL", SPACE),
    ("No space left", SPACE),
    (
        "already locked",
        "the VM is open elsewhere: close its window and its settings in VirtualBox, then run the same command again",
    ),
    (
        "Failed to open/create the internal network",
        "VirtualBox's host-only network is not up: restart VirtualBox's services, or this computer",
    ),
    (
        "state is Saved",
        "the VM sleeps, and cannot be changed so: start it and stop it, then run the same command again",
    ),
];

const KERNEL: &str = "VirtualBox's kernel module is not loaded: load it, as administrator:\n  modprobe vboxdrv\n\
                      if there is none, /sbin/vboxconfig builds it";
const VIRTUALIZATION: &str = "switch on hardware virtualization (VT-x, AMD-V) in this computer's firmware; in a VM, allow \
                              nested virtualization where that VM is made. To go on without the check: `no-vtx-check`";
const MEMORY: &str = "this computer has too little free memory: stop other VMs, or give `memory` less";
const SPACE: &str = "make room on the disk that holds the machine store and VirtualBox's files";

/// What to do about it.
pub(super) fn on(said: &str) -> String {
    let known = ADVICE.iter().find(|(text, _)| said.contains(text));
    known
        .map_or("correct what VirtualBox complains about, then run the same command again", |(_, advice)| advice)
        .to_owned()
}

/// What the log of a VM that did not start says of why; none when it knows nothing.
pub(super) fn in_log(log: &str) -> Option<String> {
    const FATAL: [&str; 3] =
        ["VT-x is disabled", "the host CPU does NOT support HW virtualization", "VERR_VMX_UNABLE_TO_START_VM"];
    // VirtualBox 4 and 5 went on without, and said so with the same words.
    let fell_back = |line: &str| line.contains("Falling back to raw-mode: VT-x is disabled");
    let fatal = |line: &str| {
        FATAL.iter().any(|text| line.contains(text)) || line.contains("Power up failed") && line.contains("VERR_")
    };
    let line = log.lines().rev().find(|line| fatal(line) && !fell_back(line));
    line.or_else(|| log.lines().rev().find(|line| !line.trim().is_empty())).map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_virtualbox_says_leads_to_what_to_do() {
        // As VBoxManage 7.2 said it.
        let refused = "VBoxManage: error: Code E_ACCESSDENIED (0x80070005) - Access denied (extended info not available)\n\
                       VBoxManage: error: Context: \"EnableStaticIPConfig(Bstr(pszIp).raw(), Bstr(pszNetmask).raw())\" at line 252";
        assert!(on(refused).contains("/etc/vbox/networks.conf"));
        let netctl = "VBoxNetAdpCtl: Error while adding new interface: failed to open /dev/vboxnetctl: No such file";
        assert!(on(netctl).contains("vboxnetadp"));
        assert!(on("Shrinking is not yet supported for medium '/x'").contains("only grow"));
        assert!(on("an unknown text").contains("complains about"));
    }

    #[test]
    fn the_log_says_why_a_vm_did_not_start() {
        let log = "00:00:01 Power up failed (vrc=VERR_VMX_NO_VMX, rc=NS_ERROR_FAILURE (0X80004005))\n00:00:02 end\n\n";
        assert!(in_log(log).unwrap().contains("VERR_VMX_NO_VMX"));
        assert_eq!(in_log("a\nb\n").as_deref(), Some("b"));
        assert_eq!(in_log("Falling back to raw-mode: VT-x is disabled\nok").as_deref(), Some("ok"));
        assert_eq!(in_log(""), None);
    }
}
