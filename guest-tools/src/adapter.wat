;; WASI preview 1 for Go guests, inside the component.
;;
;; Go knows no other system than WASI; this module is all of it that such a guest gets. Its only imports are the two
;; functions of the plugin contract's `entropy`, so a guest built with it asks the host for nothing else: there are no
;; files, no arguments, no environment and no sockets, and what is written to stderr is dropped.
;;
;; It keeps no memory of its own, so that it goes together with a pre-initialised module.
(module
  (import "env" "memory" (memory 0))
  (import "$ENTROPY" "now-ns" (func $now_ns (result i64)))
  (import "$ENTROPY" "random-u64" (func $random_u64 (result i64)))

  ;; While Go allocates on behalf of the host (cabi_realloc) the guest must not call out: the component model traps it.
  ;; Go's collector reads the clock, though. The runtime of the bindings says when that is; the last time answers then.
  (global $paused (mut i32) (i32.const 0))
  (global $wall (mut i64) (i64.const 1700000000000000000))
  ;; The monotonic clock only counts how often it was asked. Go's scheduler reads it all the time; were it the host's,
  ;; no render could ever be told from one that depends on the time.
  (global $ticks (mut i64) (i64.const 1000000000))

  (func (export "adapter_monotonic_clock_set_paused") (param $on i32)
    (global.set $paused (local.get $on)))

  ;; Clock 0 is the wall clock. Unless it is asked for the first time while paused, it is right.
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $out i32) (result i32)
    (if (i32.eqz (local.get $clock))
      (then
        (if (i32.eqz (global.get $paused)) (then (global.set $wall (call $now_ns))))
        (i64.store (local.get $out) (global.get $wall)))
      (else
        (global.set $ticks (i64.add (global.get $ticks) (i64.const 1000)))
        (i64.store (local.get $out) (global.get $ticks))))
    (i32.const 0))

  ;; Eight bytes a draw, the lowest first.
  (func (export "random_get") (param $out i32) (param $length i32) (result i32)
    (local $word i64)
    (local $left i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $length)))
        (if (i32.eqz (local.get $left))
          (then
            (local.set $word (call $random_u64))
            (local.set $left (i32.const 8))))
        (i64.store8 (local.get $out) (local.get $word))
        (local.set $word (i64.shr_u (local.get $word) (i64.const 8)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))
        (local.set $length (i32.sub (local.get $length) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; No arguments, no environment.
  (func (export "args_sizes_get") (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "environ_sizes_get") (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) (unreachable))

  ;; Says that it wrote the first of the vectors; the caller goes on with the rest.
  (func (export "fd_write") (param $fd i32) (param $vectors i32) (param $count i32) (param $written i32) (result i32)
    (i32.store (local.get $written)
      (if (result i32) (local.get $count)
        (then (i32.load offset=4 (local.get $vectors)))
        (else (i32.const 0))))
    (i32.const 0))

  ;; Go's collector polls: no event has happened, which is not an error.
  (func (export "poll_oneoff") (param i32 i32 i32) (param $events i32) (result i32)
    (i32.store (local.get $events) (i32.const 0))
    (i32.const 0))

  ;; Everything else answers EBADF (8): there is no such file.
  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8))
)
