package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// storeSize returns the configured size, or what the store already uses and the disk still has if that is less.
func storeSize(c Config) (int64, error) {
	free, err := freeBytes(c.StoreDir)
	if err != nil {
		return 0, fmt.Errorf("read free space of %s: %w", c.StoreDir, err)
	}
	if free >= c.StoreBytes {
		return c.StoreBytes, nil
	}
	used, err := usedBytes(c.StoreDir)
	if err != nil {
		return 0, fmt.Errorf("read used space of %s: %w", c.StoreDir, err)
	}
	if free+used >= c.StoreBytes {
		return c.StoreBytes, nil
	}
	c.Log.Warn("disk has less than the configured store", "store_bytes", c.StoreBytes, "free_bytes", free, "used_bytes", used)
	return free + used, nil
}

// freeBytes returns what this user may still write to the disk of dir.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(uint64(st.Bavail) * uint64(st.Bsize)), nil
}

func usedBytes(dir string) (int64, error) {
	var used int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		used += info.Size()
		return nil
	})
	return used, err
}
