module atomicnf.invalid/runc-caps

go 1.24
