" Finds the `autocoder` that the bridge is started with. Knows no processes.
scriptencoding utf-8

let s:here = resolve(expand('<sfile>:p'))

" The bridge's command as a list: g:autocoder_command unless that is empty, else the program of the
" environment in which this plugin lies, else `autocoder` on PATH.
function! autocoder#executable#bridge() abort
  let l:command = get(g:, 'autocoder_command', '')
  let l:command = empty(l:command) ? s:beside_plugin() : l:command
  return (type(l:command) == v:t_list ? copy(l:command) : s:words(l:command))
        \ + ['bridge', '--client', has('nvim') ? 'neovim' : 'vim']
endfunction

" A string is a program's path, spaces and all, or words.
function! s:words(command) abort
  let l:path = expand(a:command)
  return executable(l:path) ? [l:path] : split(l:path)
endfunction

" …/lib/python3.11/site-packages/autocoder/clients/vim/autoload/… has its …/bin/autocoder.
function! s:beside_plugin() abort
  let l:root = matchstr(s:here, '^.*\ze/lib[^/]*/python[^/]*/\%(site\|dist\)-packages/')
  let l:program = l:root .. '/bin/autocoder'
  return !empty(l:root) && executable(l:program) ? [l:program] : ['autocoder']
endfunction
