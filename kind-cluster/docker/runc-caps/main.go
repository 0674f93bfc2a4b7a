// runc-caps runs runc after it has taken out of the OCI specification every capability that this
// process itself does not hold.
//
// Docker 20.10 asks for all capabilities that the kernel knows when a container is privileged. On
// a machine whose root was born without one of them (CAP_SYS_RESOURCE, often, in a sandbox) runc
// then fails with "unable to apply caps: operation not permitted". Where root holds them all, this
// program changes nothing.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// capabilityNames is in the order of the kernel's numbers.
var capabilityNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID
	SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE
	SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
	SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
	BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runc-caps:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	if file, inProcess := specification(args); file != "" {
		held, err := heldCapabilities()
		if err != nil {
			return err
		}
		if err := strip(file, inProcess, held); err != nil {
			return err
		}
	}
	return syscall.Exec(runc, append([]string{"runc"}, args...), os.Environ())
}

// specification finds the file whose capabilities the command is going to apply: the bundle's for
// a new container, the process file for an exec; none for any other command.
func specification(args []string) (file string, inProcess bool) {
	verb, bundle, process := "", ".", ""
	for i, arg := range args {
		following := ""
		if i+1 < len(args) {
			following = args[i+1]
		}
		switch arg {
		case "create", "run", "exec":
			if verb == "" {
				verb = arg
			}
		case "--bundle", "-b":
			bundle = following
		case "--process", "-p":
			process = following
		}
	}
	switch verb {
	case "create", "run":
		return filepath.Join(bundle, "config.json"), true
	case "exec":
		return process, false
	}
	return "", false
}

// heldCapabilities reads this process's bounding set.
func heldCapabilities() (map[string]bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		var set uint64
		if _, err := fmt.Sscanf(line, "CapBnd:\t%x", &set); err != nil {
			continue
		}
		held := map[string]bool{}
		for number, name := range capabilityNames {
			held["CAP_"+name] = set>>number&1 == 1
		}
		return held, nil
	}
	return nil, fmt.Errorf("/proc/self/status names no bounding set")
}

// strip rewrites the specification without the capabilities that are not held.
func strip(file string, inProcess bool, held map[string]bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var document map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // an unlimited rlimit does not survive as a float
	if err := decoder.Decode(&document); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	process := document
	if inProcess {
		process, _ = document["process"].(map[string]any)
	}
	sets, _ := process["capabilities"].(map[string]any)
	for name, value := range sets {
		wanted, _ := value.([]any)
		kept := []any{}
		for _, capability := range wanted {
			if text, ok := capability.(string); ok && held[text] {
				kept = append(kept, capability)
			}
		}
		sets[name] = kept
	}
	if text, err = json.Marshal(document); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
