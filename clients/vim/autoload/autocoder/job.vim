" Hides how Vim and Neovim run a process: lines in, lines out, a notice at its end.
" Knows nothing of what the lines mean. Nothing here waits for the process.
scriptencoding utf-8

" A reply is far below this; more without a line break is junk and is thrown away.
let s:longest = 4 * 1024 * 1024

" Start `command` (a list). Calls on_line(line), on_error(line) and on_exit(status).
" Returns a job for the functions below, or {} where it cannot be started.
function! autocoder#job#start(command, on_line, on_error, on_exit) abort
  let l:job = {'on_line': a:on_line, 'on_error': a:on_error, 'on_exit': a:on_exit,
        \ 'partial': {'stdout': '', 'stderr': ''}}
  try
    return has('nvim') ? s:start_nvim(a:command, l:job) : s:start_vim(a:command, l:job)
  catch /^Vim\%((\a\+)\)\=:E/
    call a:on_error(v:exception)
    return {}
  endtry
endfunction

" Write one line. Returns whether the process still takes lines. Never blocks.
function! autocoder#job#write(job, line) abort
  try
    if has('nvim')
      return chansend(a:job.handle, a:line .. "\n") > 0
    endif
    call ch_sendraw(a:job.handle, a:line .. "\n")
    return ch_status(a:job.handle) ==# 'open'
  catch /^Vim\%((\a\+)\)\=:E/
    return 0
  endtry
endfunction

" End it at once, also where it ignores a polite signal: it holds nothing worth saving, and
" Neovim would wait two seconds at :q for a process that does.
function! autocoder#job#kill(job) abort
  if has('nvim')
    silent! call v:lua.vim.loop.kill(jobpid(a:job.handle), 9)
    silent! call jobstop(a:job.handle)
  else
    call job_stop(a:job.handle, 'kill')
  endif
endfunction

function! s:start_vim(command, job) abort
  let l:handle = job_start(a:command, {'in_mode': 'nl', 'out_mode': 'nl', 'err_mode': 'nl',
        \ 'noblock': 1, 'stoponexit': 'kill',
        \ 'out_cb': {_, line -> a:job.on_line(line)},
        \ 'err_cb': {_, line -> a:job.on_error(line)},
        \ 'exit_cb': {_, status -> a:job.on_exit(status)}})
  if job_status(l:handle) ==# 'fail'
    return {}
  endif
  let a:job.handle = l:handle
  return a:job
endfunction

function! s:start_nvim(command, job) abort
  let l:handle = jobstart(a:command, {
        \ 'on_stdout': {_, chunks, name -> s:split(a:job, chunks, name, a:job.on_line)},
        \ 'on_stderr': {_, chunks, name -> s:split(a:job, chunks, name, a:job.on_error)},
        \ 'on_exit': {_, status, name -> a:job.on_exit(status)}})
  if l:handle <= 0
    return {}
  endif
  let a:job.handle = l:handle
  return a:job
endfunction

" Neovim's chunks are pieces between line breaks: the first continues the last one before.
function! s:split(job, chunks, stream, each) abort
  let l:lines = copy(a:chunks)
  let l:lines[0] = a:job.partial[a:stream] .. l:lines[0]
  let a:job.partial[a:stream] = remove(l:lines, -1)
  if len(a:job.partial[a:stream]) > s:longest
    let a:job.partial[a:stream] = ''
  endif
  for l:line in l:lines
    call a:each(l:line)
  endfor
endfunction
