" What the rest of the world may call: settings, switches, the statusline.
scriptencoding utf-8

let s:defaults = {
      \ 'enabled': 1,
      \ 'auto': 1,
      \ 'hidden': '0',
      \ 'delay': 15,
      \ 'max_lines': 1,
      \ 'max_tokens': 48,
      \ 'trigger_lines': 8,
      \ 'trigger_tokens': 128,
      \ 'timeout': 20000,
      \ 'maps': 1,
      \ 'statusline': 'ac',
      \ }

" Why the plugin cannot work in this editor, or an empty string.
function! autocoder#why_unsupported() abort
  if has('win32')
    return 'the plugin runs on Linux and macOS; on Windows use Vim within WSL'
  elseif has('nvim')
    return has('nvim-0.7') ? '' : 'Neovim 0.7 or newer is needed'
  elseif !has('patch-9.0.0185')
    return 'Vim 9.0.0185 or newer is needed (virtual text)'
  endif
  let l:missing = filter(['textprop', 'job', 'channel', 'timers'], '!has(v:val)')
  return empty(l:missing) ? '' : 'this Vim was built without +' .. join(l:missing, ' +')
endfunction

function! autocoder#supported() abort
  return empty(autocoder#why_unsupported())
endfunction

" The setting b:autocoder_NAME, else g:autocoder_NAME, else the default.
function! autocoder#setting(name) abort
  return get(b:, 'autocoder_' .. a:name, get(g:, 'autocoder_' .. a:name, s:defaults[a:name]))
endfunction

" The same for what is a number of at least 0, also where it was given as a string.
function! autocoder#number(name) abort
  let l:value = autocoder#setting(a:name)
  return l:value =~# '^-\=\d' ? max([0, str2nr(l:value)]) : s:defaults[a:name]
endfunction

function! autocoder#enable() abort
  call s:switch(1)
endfunction

function! autocoder#disable() abort
  call s:switch(0)
  call autocoder#suggest#leave()
endfunction

" Everywhere, and here also where the buffer has a setting of its own.
function! s:switch(on) abort
  let g:autocoder_enabled = a:on
  if exists('b:autocoder_enabled')
    let b:autocoder_enabled = a:on
  endif
endfunction

function! autocoder#toggle() abort
  if autocoder#setting('enabled')
    call autocoder#disable()
  else
    call autocoder#enable()
  endif
endfunction

" Is ghost text on the screen? For the maps of other plugins.
function! autocoder#visible() abort
  return autocoder#suggest#visible()
endfunction

" For 'statusline': empty where off, else the word of g:autocoder_statusline with a sign:
" none: ready; …: waiting for an answer; !: the bridge is down, see :Autocoder log.
function! autocoder#statusline() abort
  if !autocoder#supported() || !autocoder#setting('enabled') || !autocoder#wanted#filetype()
    return ''
  endif
  return autocoder#setting('statusline') .. s:sign()
endfunction

function! s:sign() abort
  let l:state = autocoder#bridge#state()
  return l:state ==# 'down' ? '!' : autocoder#bridge#waiting() ? '…' : ''
endfunction
