module atomicnf.invalid/pause

go 1.24
